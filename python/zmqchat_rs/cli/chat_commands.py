"""What a person can type in a chat that is not said: ``/who``, ``/room`` ..."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from zmqchat_rs._core import sanitize

if TYPE_CHECKING:
    from typing import Callable, Sequence

    from .chat_talk import Talk

_MINUTE = 60


class Command(NamedTuple):
    """One command.

    Attributes:
        usage: How it is typed.
        help: What it does.
        run: Called with the talk and what follows the command's word; false ends the chat.
        words: What may follow, for completion.
    """

    usage: str
    help: str
    run: Callable[[Talk, str], bool]
    words: Callable[[Talk], Sequence[str]] = lambda _: ()


def _who(talk: Talk, rest: str) -> bool:
    if rest and rest not in talk.chat.rooms:
        talk.front.notice(f"you are not in {rest}: type /room {rest} to join it")
        return True
    members = [one for one in talk.chat.members if rest in ("", one.room)]
    if not members:
        where = f" in {rest}" if rest else ""
        talk.front.notice(f"nobody else was heard{where} yet")
    for one in members:
        how = "" if one.present else ", without presence"
        seen = _ago(one.last_seen)
        line = f"{one.room} {one.label} ({one.address}, heard {seen} ago{how})"
        talk.front.notice(sanitize(line))
    return True


def _ago(moment: datetime) -> str:
    seconds = max(0.0, (datetime.now(timezone.utc) - moment).total_seconds())
    return f"{seconds:.0f} s" if seconds < _MINUTE else f"{seconds / _MINUTE:.0f} min"


def _room(talk: Talk, rest: str) -> bool:
    chat = talk.chat
    if rest:
        chat.join(rest)
    others = [room for room in chat.rooms if room != chat.room]
    also = f", and hear {', '.join(others)}" if others else ""
    talk.front.notice(f"you speak in {chat.room}{also}")
    return True


def _leave(talk: Talk, rest: str) -> bool:
    chat = talk.chat
    if rest in ("", chat.room) and len(chat.rooms) == 1:
        talk.front.notice(f"{chat.room} is your only room: /room NAME is another, /quit leaves")
        return True
    chat.leave(rest or None)
    talk.front.notice(f"you speak in {chat.room}")
    return True


def _me(talk: Talk, rest: str) -> bool:
    if rest:
        talk.say(rest, action=True)
    else:
        talk.front.notice("say what you do, as in: /me waves")
    return True


def _log(talk: Talk, rest: str) -> bool:
    before = talk.log_path
    if rest == "off":
        talk.log_to(None)
    elif rest:
        talk.log_to(rest)
    path = talk.log_path
    if path is not None:
        answer = f"logging to {path}; /log off stops it"
    elif before is not None:
        answer = f"stopped logging to {before}"
    else:
        answer = "not logging; /log FILE starts it"
    talk.front.notice(sanitize(answer))
    return True


def _connect(talk: Talk, rest: str) -> bool:
    if rest:
        talk.connect(rest)
    for peer in talk.chat.peers:
        talk.front.notice(sanitize(f"{peer.address}: {peer.state}"))
    return True


def _quit(_talk: Talk, _rest: str) -> bool:
    return False


def _help(talk: Talk, _rest: str) -> bool:
    width = max(len(command.usage) for command in COMMANDS.values())
    for command in COMMANDS.values():
        talk.front.notice(f"{command.usage:{width}}  {command.help}")
    talk.front.notice(f"{'//text':{width}}  says /text")
    return True


def _rooms(talk: Talk) -> Sequence[str]:
    return talk.chat.rooms


#: By the word that follows the slash.
COMMANDS = {
    "who": Command("/who [ROOM]", "who is there", _who, _rooms),
    "room": Command(
        "/room [NAME]", "join a room and speak there; without NAME, tell", _room, _rooms
    ),
    "leave": Command("/leave [NAME]", "leave a room, this one unless you say", _leave, _rooms),
    "me": Command("/me ACTION", "say what you do: /me waves", _me),
    "connect": Command(
        "/connect [HOST]", "hear one more; without HOST, tell who is heard", _connect
    ),
    "log": Command("/log [FILE]", "log the lines to a file; /log off stops it", _log),
    "quit": Command("/quit", "leave, as Ctrl+D does", _quit),
    "help": Command("/help", "show this", _help),
}
