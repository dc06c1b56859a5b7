"""What keeps a `Chat` going: its two sockets, its books and its two threads.

One thread reads, keeps the books and calls back; the other says now and then that we are here. So a
callback that takes its time (a terminal held up by Ctrl+S) makes nobody believe that we are lost.
The threads hold this object and not the `Chat`, which is closed when its user lets go of it.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from zmqchat_rs import _threads
from zmqchat_rs._core import (
    ClosedError,
    Message,
    Publisher,
    Subscriber,
    ZmqChatError,
    _is_shutting_down,
)
from zmqchat_rs._threads import start_thread
from zmqchat_rs._validation import seconds

from .members import Members
from .presence import Pulse
from .relay import relay_addresses

if TYPE_CHECKING:
    from typing import Callable, Iterator, Sequence

    from zmqchat_rs.events import Event

    from .members import Notice

# Messages kept for a user who does not read; then the oldest make room.
_UNREAD = 10_000
# How many looks for lost members a heartbeat has.
_LOOKS = 4
# Seconds within which a relay sends back what we said without a stamp.
_ECHO = 10.0
# Seconds that the close waits for a callback to return.
_PATIENCE = 0.4
# Presence goes to each room.
MOST_ROOMS = 64
# On Windows Ctrl+C does not end a wait for a lock; there a wait looks up this often, in seconds.
_SLICE = 0.05 if os.name == "nt" else None

T = TypeVar("T")

_all: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """The works of one chat; see `Chat` for what the arguments mean."""

    def __init__(  # noqa: PLR0913
        self,
        name: str,
        *,
        room: str,
        bind: str | Sequence[str] | None,
        peers: str | Sequence[str],
        via: str | Sequence[str] | None,
        plain: bool,
        heartbeat: float,
        linger: float,
        on_message: Callable[[Message], object] | None,
        on_notice: Callable[[Notice], object] | None,
        on_event: Callable[[Event], object] | None,
    ) -> None:
        self.name, self.plain, self.relayed = name, plain, via is not None
        self._pid = os.getpid()
        self.on_message, self._on_notice, self._on_event = on_message, on_notice, on_event
        # One for all: whoever waits for a message, a member or the next heartbeat waits here. It
        # can be taken twice, as when a signal's handler closes what its thread is using.
        self.changed = _threads.Condition()
        now = monotonic()
        self._heartbeat = heartbeat
        self.members = Members(name, heartbeat)
        self._pulse = Pulse(heartbeat, now)
        # When each room was joined, in that order.
        self._rooms = {room: now}
        self.room = room
        self.unread: deque[Message] = deque()
        self.said = self.heard = self.dropped = 0
        self.closed = False
        # Our instances: there is another one after 65,536 topics.
        self._own: set[str] = set()
        self._echoes: deque[tuple[float, bytes]] = deque()
        speak: list[str] = []
        hear = [peers] if isinstance(peers, str) else list(peers)
        if via is not None:
            frontend, backend = relay_addresses(via)
            speak.append(frontend)
            hear.insert(0, backend)
        self.publisher = _publisher(
            bind,
            connect=speak,
            name=None if plain else name,
            linger=linger,
            on_event=self._publisher_event,
        )
        try:
            self.subscriber = Subscriber(hear, topics=[room], on_event=on_event)
            # Others may come to us, and be heard only once somebody connects to them.
            self.subscriber._suppress_idle_warning()  # noqa: SLF001
        except BaseException:
            self.publisher.close(linger=0)
            raise
        works = {"zmqchat-chat": self._read}
        if not plain:
            works["zmqchat-chat-pulse"] = self._beat
        self._threads = [_threads.make(work, name) for name, work in works.items()]
        _all.add(self)
        started = []
        try:
            for thread in self._threads:
                start_thread(thread)
                started.append(thread)
        except ZmqChatError:
            # It has sent nothing yet, so it sends no good-bye.
            self._threads, self.closed = started, True
            self.close(linger=0)
            raise

    def is_inherited(self) -> bool:
        """Whether a forked child inherited it from its parent."""
        return os.getpid() != self._pid

    def check_fork(self) -> None:
        """Raise where it is another process's, before a lock is taken that may be held forever."""
        if self.is_inherited():
            raise ZmqChatError(
                errno.EPERM,
                "this Chat was made before the fork and belongs to the parent process: make a new "
                'Chat in the child, or start children with the "spawn" method',
            )

    def check(self) -> None:
        """Raise where it cannot be used: closed, or another process's."""
        self.check_fork()
        if self.closed:
            raise _closed()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Use it: where it cannot be used, or is closed meanwhile, the error speaks of the chat."""
        self.check()
        try:
            yield
        except ClosedError:
            raise _closed() from None

    def wait(self, look: Callable[[], T | None], timeout: float | None, why: str) -> T:
        """Wait until `look` finds something.

        Args:
            look: Called under the lock whenever something changed; None goes on waiting.
            timeout: Seconds; None waits forever, 0 checks once.
            why: What the TimeoutError says.

        Returns:
            What it found.
        """
        timeout = seconds("timeout", timeout)
        deadline = None if timeout is None else monotonic() + timeout
        self.check()
        with self.changed:
            while True:
                self.check()
                found = look()
                if found is not None:
                    return found
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(why)
                slices = [one for one in (left, _SLICE, _threads.TIMEOUT_MAX) if one is not None]
                self.changed.wait(min(slices))

    # ---- what the user does

    def say(self, text: str, kind: str | None, room: str | None) -> Message:
        """Send one message to a room, and give it as others get it."""
        if not isinstance(text, str):
            raise TypeError(f"text is a str, not {type(text).__name__}")
        with self.in_use(), self.changed:
            room = self.one_of_rooms(room)
            if self.plain:
                text = f"* {self.name} {text}" if kind else f"{self.name}: {text}"
                kind = None
            message = self._send(text, kind, room)
            self.said += 1
            return message

    def join(self, room: str) -> None:
        """Hear a room, and speak there from now on."""
        with self.in_use(), self.changed:
            if room not in self._rooms:
                if len(self._rooms) >= MOST_ROOMS:
                    raise ValueError(f"{MOST_ROOMS} rooms at once are the most: leave one first")
                self.subscriber.subscribe(room)
                self._rooms[room] = monotonic()
                self._nudge()
            self.room = room

    def leave(self, room: str) -> None:
        """Hear a room no longer."""
        with self.in_use(), self.changed:
            if room not in self._rooms:
                raise ValueError(f"you are not in {room!r}")
            if len(self._rooms) == 1:
                raise ValueError(f"{room!r} is your only room: join another one first, or close")
            if not self.plain:
                self._send("", "go", room)
            self.subscriber.unsubscribe(room)
            del self._rooms[room]
            self.members.leave(room)
            if self.room == room:
                self.room = list(self._rooms)[-1]

    def one_of_rooms(self, room: str | None) -> str:
        """Give the room, the current one for None; one that was not joined is an error."""
        room = self.room if room is None else room
        if room not in self._rooms:
            raise ValueError(f"you are not in {room!r}: join it first")
        return room

    @property
    def rooms(self) -> list[str]:
        """The rooms, in the order in which they were joined."""
        return list(self._rooms)

    def close(self, linger: float | None = None) -> None:
        """Say good-bye, and end."""
        self.check_fork()
        with self.changed:
            if not self.closed:
                self.closed = True
                with suppress(ZmqChatError):
                    for room in [] if self.plain else self._rooms:
                        self._send("", "go", room)
            self.changed.notify_all()
        self.publisher.close(linger)
        self.subscriber.close()
        for thread in self._threads:
            if not _threads.is_current(thread):
                thread.join(_PATIENCE)

    def let_go(self) -> None:
        """Close it, as its user lets go of it; in a child, leave the parent's alone."""
        if not self.is_inherited():
            with suppress(Exception):
                self.close()

    def _send(self, text: str, kind: str | None, room: str) -> Message:
        """Send; whoever calls holds the lock, so that the stamp is this message's."""
        stamp = self.publisher._send_kind(text, kind, topic=room)  # noqa: SLF001
        frame = f"{room}:{text}".encode()
        message = Message([frame, stamp] if stamp else [frame], topic=room)
        if message.instance is not None:
            if message.instance not in self._own:
                self._own.add(message.instance)
                # What a relay did not send back is no loss of ours.
                self.subscriber._ignore_sender(message.instance)  # noqa: SLF001
        elif self.relayed:
            self._echoes.append((monotonic() + _ECHO, frame))
        return message

    # ---- the thread that reads

    def _read(self) -> None:
        pause = self._heartbeat / _LOOKS
        look = monotonic() + pause
        try:
            while True:
                message = self.subscriber._next_from(timeout=0)  # noqa: SLF001
                if message is None:
                    # Nobody is lost whose sign of life may be waiting to be read.
                    now = monotonic()
                    if now >= look:
                        look = now + pause
                        if self.publisher.closed:
                            # In a notebook: its cell was run again, and took the port over.
                            self.let_go()
                            return
                        self._sweep(now)
                    message = self.subscriber._next_from(timeout=look - now)  # noqa: SLF001
                if message is not None:
                    self._take(message)
        except ClosedError:
            pass
        finally:
            # Whoever waits learns that nothing more will come.
            with self.changed:
                self.closed = True
                self.changed.notify_all()

    def _take(self, message: Message) -> None:
        now = monotonic()
        with self.changed:
            if message.topic not in self._rooms or self._is_own(message, now):
                return
            notice = self.members.heard(message, now)
            ordinary = not message._is_presence  # noqa: SLF001
            if not ordinary and message.kind == "come":
                self._nudge()
            if ordinary:
                self.heard += 1
                if self.on_message is None:
                    self._keep(message)
            self.changed.notify_all()
        if notice is not None:
            self._tell(self._on_notice, notice)
        if ordinary:
            self._tell(self.on_message, message)

    def _keep(self, message: Message) -> None:
        if len(self.unread) >= _UNREAD:
            self.unread.popleft()
            self.dropped += 1
        self.unread.append(message)

    def _is_own(self, message: Message, now: float) -> bool:
        if message.instance is not None:
            return message.instance in self._own
        while self._echoes and self._echoes[0][0] < now:
            self._echoes.popleft()
        for echo in self._echoes:
            if echo[1] == message.raw:
                self._echoes.remove(echo)
                return True
        return False

    def _sweep(self, now: float) -> None:
        with self.changed:
            notices = self.members.sweep(now)
            self.changed.notify_all()
        for notice in notices:
            self._tell(self._on_notice, notice)

    def _tell(self, callback: Callable[..., object] | None, what: Message | Notice) -> None:
        if callback is None or self.closed:
            return
        try:
            callback(what)
        except BaseException:
            # One failure must not end the chat. At the end of the program it is no news.
            if not _is_shutting_down():
                logging.getLogger("zmqchat_rs").exception("a callback of a chat failed")

    # ---- the thread that says that we are here

    def _beat(self) -> None:
        with suppress(ClosedError), self.changed:
            while not self.closed:
                now = monotonic()
                if now < self._pulse.due:
                    self.changed.wait(self._pulse.due - now)
                    continue
                self._pulse.sent(now)
                for room, joined in self._rooms.items():
                    # Whoever hears us for the first time just after we came hears that we came.
                    kind = "come" if now - joined < self._heartbeat else "here"
                    self._send("", kind, room)

    def _nudge(self) -> None:
        """Say soon that we are here; whoever calls holds the lock."""
        self._pulse.nudge(monotonic(), self.members.count())
        self.changed.notify_all()

    def _publisher_event(self, event: Event) -> None:
        """Somebody new may hear us; a relay is one that we speak to."""
        if event.kind == "subscribed" and not self.plain:
            with self.changed:
                if isinstance(event.subscription, bytes) or event.subscription in self._rooms:
                    self._nudge()
        if self._on_event is not None:
            self._on_event(event)


def _publisher(
    bind: str | Sequence[str] | None,
    *,
    connect: list[str],
    name: str | None,
    linger: float,
    on_event: Callable[[Event], object],
) -> Publisher:
    try:
        return Publisher(bind or None, connect=connect, name=name, linger=linger, on_event=on_event)
    except ZmqChatError as error:
        # A path is not a port: there is no default that another chat could take instead.
        if error.errno != errno.EADDRINUSE or "ipc://" in (error.strerror or ""):
            raise
        raise ZmqChatError(
            errno.EADDRINUSE,
            f"{error.strerror}. Another chat on this laptop takes a port of its own; where a relay "
            'holds this one, go through it, which binds nothing: via="127.0.0.1"',
        ) from error


def _closed() -> ClosedError:
    return ClosedError(errno.EBADF, "this Chat is closed: make a new Chat")


def _close_all() -> None:
    """At the end of the program, so that others hear good-bye; what is queued lingers after."""
    for engine in list(_all):
        engine.let_go()


# Made after the package's own, this one runs before it.
atexit.register(_close_all)
