"""One chat in a terminal or a pipe: sends typed lines, shows messages and notices, logs them."""

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
    """A chat with its frontend and its log.

    Attributes:
        chat: The chat.
        frontend: Shows messages and notices.
        ready: Set by `begin`; messages and notices wait until then.
    """

    def __init__(self, arguments: Namespace, frontend: Frontend) -> None:
        self.frontend = frontend
        self._arguments = arguments
        self.ready = threading.Event()
        # Received messages come from the chat's thread, own messages from the main thread.
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
                    on_message=self._received,
                    on_notice=self._noticed,
                    on_event=self._connections,
                )
            )
            self._opened = opened.pop_all()

    def begin(self) -> None:
        """Print the first notices, then the queued ones, and the messages."""
        self._announce()
        self.ready.set()

    def typed(self, text: str) -> bool:
        """Send a typed line, or run its command.

        Args:
            text: The line.

        Returns:
            Whether the chat continues.
        """
        try:
            if self.frontend.commands and text.startswith("/") and not text.startswith("//"):
                word, _, rest = text[1:].partition(" ")
                return self._command(word, rest.strip())
            self.send(text[1:] if self.frontend.commands and text.startswith("//") else text)
        except ClosedError:
            raise
        except (ValueError, ZmqChatError) as error:
            self.frontend.notice(getattr(error, "strerror", None) or str(error))
        return True

    def send(self, text: str, *, action: bool = False) -> None:
        """Send a line, or an action, to the current room."""
        try:
            subscribers = self.chat.wait_for_listeners(timeout=0)
        except TimeoutError:
            subscribers = 0
        # The text of a plain line already contains the name.
        label = None if self._arguments.plain else self.chat.name
        self._show((self.chat.me if action else self.chat.say)(text), label, own=True)
        if not self.frontend.interactive:
            return
        if subscribers:
            self._warn_of_lost_members()
        else:
            room = self.chat.room
            self.frontend.notice(f"(no subscriber in {room} yet: this line was not delivered)")

    def _warn_of_lost_members(self) -> None:
        """Warn of lost members, whose connections may still be open."""
        room = self.chat.room
        alone = not any(one.present and one.room == room for one in self.chat.members)
        names = self._lost.to_warn_of(room, alone=alone)
        if names:
            verb = "are" if " and " in names else "is"
            self.frontend.notice(f"({names} {verb} not responding: this line may not arrive)")

    def connect(self, host: str) -> None:
        """Connect to another chat, and report the connection."""
        self._connections.add(host)
        self.chat.connect(host)

    def log_to(self, path: str | None) -> None:
        """Log to another file from now on; None to log nothing."""
        jsonl = path is not None and path.endswith(".jsonl")
        log = None if path is None else Transcript(path, format="jsonl" if jsonl else "text")
        with self._showing:
            before, self._log, self._log_fails = self._log, log, False
        if before is not None:
            before.close()

    @property
    def log_path(self) -> str | None:
        """The file of the log; None if nothing is logged."""
        log = self._log
        return None if log is None else log.path

    def _command(self, word: str, rest: str) -> bool:
        command = COMMANDS.get(word.lower())
        if command is None:
            self.frontend.notice(
                f"unknown command /{word}: type /help for a list, or //{word} to send it"
            )
            return True
        return command.run(self, rest)

    def _chat_once_ready(self) -> Chat:
        """The chat, after `begin`."""
        self.ready.wait()
        return self.chat

    def _received(self, message: Message) -> None:
        self.ready.wait()
        self._show(message, self.chat.label(message), own=False)

    def _noticed(self, notice: Notice) -> None:
        self.ready.wait()
        self._lost.record(notice)
        if not self._arguments.quiet:
            self.frontend.notice(str(notice))

    def _show(self, message: Message, label: str | None, *, own: bool) -> None:
        failed = None
        with self._showing:
            if self._log is not None:
                failed = self._write_log(self._log, message)
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

    def _write_log(self, log: Transcript, message: Message) -> str | None:
        """Log a message; return a notice of the first failure, which does not end the chat."""
        try:
            log.write(message)
        except ZmqChatError as error:
            reported, self._log_fails = self._log_fails, True
            return None if reported else f"not logged: {error.strerror}"
        self._log_fails = False
        return None

    def _announce(self) -> None:
        """Print name, room and addresses; in a pipe, only a port chosen by the system."""
        arguments, frontend = self._arguments, self.frontend
        if frontend.interactive or output.has_system_port(arguments.bind):
            for address in self.chat.addresses:
                frontend.notice(f"Others connect with:  zmqchat chat {address}")
        if not frontend.interactive:
            return
        frontend.notice(
            f"You are {self.chat.name} in {self.chat.room}. /help lists commands, Ctrl+D leaves."
        )
        if not (arguments.host or arguments.via):
            frontend.notice("Not connected to another chat yet: type /connect and its address.")

    def __enter__(self) -> Self:
        """Return the session, whose chat is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the chat, its log and its notices."""
        self.ready.set()
        self._opened.close()


class Command(NamedTuple):
    """A slash command of the chat.

    Attributes:
        usage: The command and its argument.
        help: A short description.
        run: Called with the session and the argument; returns False to end the chat.
        words: The possible arguments, for completion.
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
        session.frontend.notice(f"no other members{where} yet")
    for one in members:
        how = "" if one.present else ", no presence"
        seen = _ago(one.last_seen)
        line = f"{one.room} {one.label} ({one.address}, seen {seen} ago{how})"
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
    also = f"; you are also in {', '.join(others)}" if others else ""
    session.frontend.notice(f"your lines go to {chat.room}{also}")
    return True


def _leave(session: ChatSession, rest: str) -> bool:
    chat = session.chat
    if rest in ("", chat.room) and len(chat.rooms) == 1:
        session.frontend.notice(
            f"{chat.room} is your only room: type /room NAME to join another, or /quit"
        )
        return True
    chat.leave(rest or None)
    session.frontend.notice(f"your lines go to {chat.room}")
    return True


def _me(session: ChatSession, rest: str) -> bool:
    if rest:
        session.send(rest, action=True)
    else:
        session.frontend.notice("type an action, for example: /me waves")
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
    session.frontend.notice(f"{'//text':{width}}  send /text")
    return True


def _rooms(session: ChatSession) -> Sequence[str]:
    return session.chat.rooms


#: The commands by name.
COMMANDS = {
    "who": Command("/who [ROOM]", "list the members", _who, _rooms),
    "room": Command(
        "/room [NAME]", "join a room and write there; without NAME, list rooms", _room, _rooms
    ),
    "leave": Command("/leave [NAME]", "leave a room (default: the current one)", _leave, _rooms),
    "me": Command("/me ACTION", "send an action: /me waves", _me),
    "connect": Command(
        "/connect [HOST]", "connect to a chat; without HOST, list connections", _connect
    ),
    "log": Command("/log [FILE]", "log the lines to a file; /log off stops", _log),
    "quit": Command("/quit", "leave the chat, as Ctrl+D does", _quit),
    "help": Command("/help", "list the commands", _help),
}
