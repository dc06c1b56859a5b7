"""A chat and its front: what is heard and noticed, what is said, and what is kept."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from zmqchat_rs._core import ClosedError, Transcript, ZmqChatError
from zmqchat_rs.chat import Chat

from . import streams
from .chat_commands import COMMANDS
from .chat_connections import Connections
from .chat_lost import LostMembers

if TYPE_CHECKING:
    from argparse import Namespace

    from typing_extensions import Self

    from zmqchat_rs._chat_members import Notice
    from zmqchat_rs._core import Message


class Front:
    """Where a person sits, or a pipe ends.

    Attributes:
        colored: Whether `line` may be given colours.
        person: Whether somebody reads what `notice` says.
        commands: Whether a line that begins with ``/`` is meant for us.
    """

    colored = False
    person = False
    commands = False

    @property
    def columns(self) -> int | None:
        """The width for wrapping the text of `line`; None does not wrap."""
        return streams.columns(sys.stdout)

    def line(self, text: str, *, own: bool) -> None:
        """Show what was said, by us or another; from any thread."""
        raise NotImplementedError

    def notice(self, text: str) -> None:
        """Show what happened; from any thread."""
        raise NotImplementedError

    def run(self, talk: Talk) -> int:
        """Hand each line that comes to `talk.typed` until it says no; give the exit code."""
        raise NotImplementedError


class Talk:
    """One chat of one person.

    Attributes:
        chat: The chat.
        front: Where it is shown.
        ready: Set once we have said who we are; what comes before waits until then.
    """

    def __init__(self, arguments: Namespace, front: Front) -> None:
        self.front = front
        self._arguments = arguments
        self.ready = threading.Event()
        # Messages come from two threads: others' from the chat's, our own from the main one.
        self._showing = threading.Lock()
        self._previous: Message | None = None
        self._log: Transcript | None = None
        self._log_fails = False
        self._lost = LostMembers()
        self._connections = Connections(arguments, self)
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

    def run(self) -> int:
        """Talk until the input ends."""
        self._announce()
        self.ready.set()
        return self.front.run(self)

    def typed(self, text: str) -> bool:
        """Do what a line says: say it, or follow it where it is a command.

        Args:
            text: The line.

        Returns:
            Whether to go on.
        """
        try:
            if self.front.commands and text.startswith("/") and not text.startswith("//"):
                word, _, rest = text[1:].partition(" ")
                return self._command(word, rest.strip())
            self.say(text[1:] if self.front.commands and text.startswith("//") else text)
        except ClosedError:
            raise
        except (ValueError, ZmqChatError) as error:
            self.front.notice(getattr(error, "strerror", None) or str(error))
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
        if not self.front.person:
            return
        if heard:
            self._warn_of_lost_members()
        else:
            room = self.chat.room
            self.front.notice(f"(no subscriber in {room} yet: this line was not delivered)")

    def _warn_of_lost_members(self) -> None:
        """Their connections may still count as connected."""
        room = self.chat.room
        alone = not any(one.present and one.room == room for one in self.chat.members)
        names = self._lost.to_warn_of(room, alone=alone)
        if names:
            self.front.notice(f"(no presence of {names}: this line may not arrive there)")

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
            self.front.notice(f"there is no /{word}: /help lists what there is; //{word} says it")
            return True
        return command.run(self, rest)

    def _heard(self, message: Message) -> None:
        self.ready.wait()
        self._show(message, self.chat.label(message), own=False)

    def _noticed(self, notice: Notice) -> None:
        self.ready.wait()
        self._lost.take(notice)
        if not self._arguments.quiet:
            self.front.notice(str(notice))

    def _show(self, message: Message, label: str | None, *, own: bool) -> None:
        failed = None
        with self._showing:
            if self._log is not None:
                failed = self._keep(self._log, message)
            line = message.render(
                color=self.front.colored,
                timestamps=self._arguments.timestamps,
                previous=self._previous,
                sender=label,
                width=self.front.columns,
            )
            self._previous = message
            self.front.line(line, own=own)
        if failed is not None:
            self.front.notice(failed)

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
        arguments, front = self._arguments, self.front
        if front.person or streams.has_free_port(arguments.bind):
            for address in self.chat.addresses:
                front.notice(f"Others talk to you with:  zmqchat chat {address}")
        if not front.person:
            return
        front.notice(
            f"You are {self.chat.name} in {self.chat.room}. /help tells more, Ctrl+D leaves."
        )
        if not (arguments.host or arguments.via):
            front.notice("You hear nobody yet: type /connect and the address of one who chats.")

    def __enter__(self) -> Self:
        """Begin: the chat is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the chat, and all that goes with it."""
        self.ready.set()
        self._opened.close()
