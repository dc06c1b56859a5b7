"""A chat and its frontend: what is heard and noticed, what is said, and what is kept."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from zmqchat_rs._core import ClosedError, Transcript, ZmqChatError, sanitize
from zmqchat_rs.chat import Chat
from zmqchat_rs.cli import output

from .connection_notices import ChatNotices
from .lost_members import LostMembers

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Callable, Sequence

    from typing_extensions import Self

    from zmqchat_rs._core import Message
    from zmqchat_rs.chat.members import Notice

    from .frontend import Frontend

_MINUTE = 60


class ChatSession:
    """One chat of one person.

    Attributes:
        chat: The chat.
        frontend: Where it is shown.
        ready: Set once we have said who we are; what comes before waits until then.
    """

    def __init__(self, arguments: Namespace, frontend: Frontend) -> None:
        self.frontend = frontend
        self._arguments = arguments
        self.ready = threading.Event()
        # Messages come from two threads: others' from the chat's, our own from the main one.
        self._showing = threading.Lock()
        self._previous: Message | None = None
        self._log: Transcript | None = None
        self._log_fails = False
        self._lost = LostMembers()
        self._connections = ChatNotices(arguments, frontend, self._chat_once_ready)
        with ExitStack() as opened:
            opened.enter_context(self._connections)
            if arguments.log is not None:
                self.log_to(arguments.log)
            opened.callback(self.log_to, None)
            self.chat = opened.enter_context(
                Chat(
                    arguments.name,
                    room=arguments.room,
                    bind=arguments.bind or None,
                    peers=arguments.host,
                    via=arguments.via,
                    plain=arguments.plain,
                    heartbeat=arguments.heartbeat,
                    on_message=self._heard,
                    on_notice=self._noticed,
                    on_event=self._connections,
                )
            )
            self._opened = opened.pop_all()

    def begin(self) -> None:
        """Announce the addresses; notices and messages that waited are printed from here on."""
        self._announce()
        self.ready.set()

    def typed(self, text: str) -> bool:
        """Do what a line says: say it, or follow it where it is a command.

        Args:
            text: The line.

        Returns:
            Whether to go on.
        """
        try:
            if self.frontend.commands and text.startswith("/") and not text.startswith("//"):
                word, _, rest = text[1:].partition(" ")
                return self._command(word, rest.strip())
            self.say(text[1:] if self.frontend.commands and text.startswith("//") else text)
        except ClosedError:
            raise
        except (ValueError, ZmqChatError) as error:
            self.frontend.notice(getattr(error, "strerror", None) or str(error))
        return True

    def say(self, text: str, *, action: bool = False) -> None:
        """Say a line in the current room, or what we do."""
        try:
            heard = self.chat.wait_for_listeners(timeout=0)
        except TimeoutError:
            heard = 0
        # A plain line has the name in its text.
        label = None if self._arguments.plain else self.chat.name
        self._show((self.chat.me if action else self.chat.say)(text), label, own=True)
        if not self.frontend.person:
            return
        if heard:
            self._warn_of_lost_members()
        else:
            room = self.chat.room
            self.frontend.notice(f"(no subscriber in {room} yet: this line was not delivered)")

    def _warn_of_lost_members(self) -> None:
        """Their connections may still count as connected."""
        room = self.chat.room
        alone = not any(one.present and one.room == room for one in self.chat.members)
        names = self._lost.to_warn_of(room, alone=alone)
        if names:
            self.frontend.notice(f"(no presence of {names}: this line may not arrive there)")

    def connect(self, host: str) -> None:
        """Hear one more, and tell of the connection."""
        self._connections.also(host)
        self.chat.connect(host)

    def log_to(self, path: str | None) -> None:
        """Keep what is said in another file from now on; None for nowhere."""
        jsonl = path is not None and path.endswith(".jsonl")
        log = None if path is None else Transcript(path, format="jsonl" if jsonl else "text")
        with self._showing:
            before, self._log, self._log_fails = self._log, log, False
        if before is not None:
            before.close()

    @property
    def log_path(self) -> str | None:
        """Where what is said is kept; None for nowhere."""
        log = self._log
        return None if log is None else log.path

    def _command(self, word: str, rest: str) -> bool:
        command = COMMANDS.get(word.lower())
        if command is None:
            self.frontend.notice(
                f"there is no /{word}: /help lists what there is; //{word} says it"
            )
            return True
        return command.run(self, rest)

    def _chat_once_ready(self) -> Chat:
        """The chat, once its first notices were printed."""
        self.ready.wait()
        return self.chat

    def _heard(self, message: Message) -> None:
        self.ready.wait()
        self._show(message, self.chat.label(message), own=False)

    def _noticed(self, notice: Notice) -> None:
        self.ready.wait()
        self._lost.take(notice)
        if not self._arguments.quiet:
            self.frontend.notice(str(notice))

    def _show(self, message: Message, label: str | None, *, own: bool) -> None:
        failed = None
        with self._showing:
            if self._log is not None:
                failed = self._keep(self._log, message)
            line = message.render(
                color=self.frontend.colored,
                timestamps=self._arguments.timestamps,
                previous=self._previous,
                sender=label,
                width=self.frontend.columns,
            )
            self._previous = message
            self.frontend.line(line, own=own)
        if failed is not None:
            self.frontend.notice(failed)

    def _keep(self, log: Transcript, message: Message) -> str | None:
        """Log a message; what to say of it. A full disk must not end the chat, and is said once."""
        try:
            log.write(message)
        except ZmqChatError as error:
            said, self._log_fails = self._log_fails, True
            return None if said else f"not logged: {error.strerror}"
        self._log_fails = False
        return None

    def _announce(self) -> None:
        """Say who we are and how others come here, to a person; to all a port nobody could know."""
        arguments, frontend = self._arguments, self.frontend
        if frontend.person or output.has_free_port(arguments.bind):
            for address in self.chat.addresses:
                frontend.notice(f"Others talk to you with:  zmqchat chat {address}")
        if not frontend.person:
            return
        frontend.notice(
            f"You are {self.chat.name} in {self.chat.room}. /help tells more, Ctrl+D leaves."
        )
        if not (arguments.host or arguments.via):
            frontend.notice("You hear nobody yet: type /connect and the address of one who chats.")

    def __enter__(self) -> Self:
        """Begin: the chat is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the chat, and all that goes with it."""
        self.ready.set()
        self._opened.close()


class Command(NamedTuple):
    """One command.

    Attributes:
        usage: How it is typed.
        help: What it does.
        run: Called with the session and what follows the command's word; false ends the chat.
        words: What may follow, for completion.
    """

    usage: str
    help: str
    run: Callable[[ChatSession, str], bool]
    words: Callable[[ChatSession], Sequence[str]] = lambda _: ()


def _who(session: ChatSession, rest: str) -> bool:
    if rest and rest not in session.chat.rooms:
        session.frontend.notice(f"you are not in {rest}: type /room {rest} to join it")
        return True
    members = [one for one in session.chat.members if rest in ("", one.room)]
    if not members:
        where = f" in {rest}" if rest else ""
        session.frontend.notice(f"nobody else was heard{where} yet")
    for one in members:
        how = "" if one.present else ", without presence"
        seen = _ago(one.last_seen)
        line = f"{one.room} {one.label} ({one.address}, heard {seen} ago{how})"
        session.frontend.notice(sanitize(line))
    return True


def _ago(moment: datetime) -> str:
    seconds = max(0.0, (datetime.now(timezone.utc) - moment).total_seconds())
    return f"{seconds:.0f} s" if seconds < _MINUTE else f"{seconds / _MINUTE:.0f} min"


def _room(session: ChatSession, rest: str) -> bool:
    chat = session.chat
    if rest:
        chat.join(rest)
    others = [room for room in chat.rooms if room != chat.room]
    also = f", and hear {', '.join(others)}" if others else ""
    session.frontend.notice(f"you speak in {chat.room}{also}")
    return True


def _leave(session: ChatSession, rest: str) -> bool:
    chat = session.chat
    if rest in ("", chat.room) and len(chat.rooms) == 1:
        session.frontend.notice(
            f"{chat.room} is your only room: /room NAME is another, /quit leaves"
        )
        return True
    chat.leave(rest or None)
    session.frontend.notice(f"you speak in {chat.room}")
    return True


def _me(session: ChatSession, rest: str) -> bool:
    if rest:
        session.say(rest, action=True)
    else:
        session.frontend.notice("say what you do, as in: /me waves")
    return True


def _log(session: ChatSession, rest: str) -> bool:
    before = session.log_path
    if rest == "off":
        session.log_to(None)
    elif rest:
        session.log_to(rest)
    path = session.log_path
    if path is not None:
        answer = f"logging to {path}; /log off stops it"
    elif before is not None:
        answer = f"stopped logging to {before}"
    else:
        answer = "not logging; /log FILE starts it"
    session.frontend.notice(sanitize(answer))
    return True


def _connect(session: ChatSession, rest: str) -> bool:
    if rest:
        session.connect(rest)
    for peer in session.chat.peers:
        session.frontend.notice(sanitize(f"{peer.address}: {peer.state}"))
    return True


def _quit(_session: ChatSession, _rest: str) -> bool:
    return False


def _help(session: ChatSession, _rest: str) -> bool:
    width = max(len(command.usage) for command in COMMANDS.values())
    for command in COMMANDS.values():
        session.frontend.notice(f"{command.usage:{width}}  {command.help}")
    session.frontend.notice(f"{'//text':{width}}  says /text")
    return True


def _rooms(session: ChatSession) -> Sequence[str]:
    return session.chat.rooms


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
