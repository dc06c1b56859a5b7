"""The engine of a `Chat`: its publisher, its subscriber, its members and its two threads.

One thread receives messages, maintains the members and calls back. The other thread sends presence,
so that members do not lose a chat whose callback blocks (a terminal stopped by Ctrl+S). The threads
refer to the engine and not to the `Chat`, so that an unreferenced `Chat` is closed.
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
from .presence import PresenceTimer
from .relay import relay_addresses

if TYPE_CHECKING:
    from typing import Callable, Iterator, Sequence

    from zmqchat_rs.events import Event

    from .members import Notice

# The number of unread messages that are kept; the oldest are dropped.
_UNREAD = 10_000
# The number of checks for lost members per heartbeat.
_SWEEPS = 4
# Seconds within which a relay returns an own message without a stamp.
_ECHO = 10.0
# Seconds that `close` waits for the end of a callback.
_CALLBACK_TIMEOUT = 0.4
# Presence is sent to each room.
MOST_ROOMS = 64
# On Windows, Ctrl+C does not interrupt a wait for a lock: waits are cut into slices, in seconds.
_SLICE = 0.05 if os.name == "nt" else None

T = TypeVar("T")

_all: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """The state and the threads of one chat; `Chat` documents the arguments."""

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
        # For all waits: for messages, members and the next presence. It is reentrant, because a
        # signal handler may close the chat that its thread is using.
        self.changed = _threads.Condition()
        now = monotonic()
        self._heartbeat = heartbeat
        self.members = Members(name, heartbeat)
        self._presence_timer = PresenceTimer(heartbeat, now)
        # The time at which each room was joined, in this order.
        self._rooms = {room: now}
        self.room = room
        self.unread: deque[Message] = deque()
        self.said = self.heard = self.dropped = 0
        self.closed = False
        # The own instance ids: the publisher starts a new one after 65,536 topics.
        self._own_instances: set[str] = set()
        self._echoes: deque[tuple[float, bytes]] = deque()
        publish_to: list[str] = []
        subscribe_to = [peers] if isinstance(peers, str) else list(peers)
        if via is not None:
            frontend, backend = relay_addresses(via)
            publish_to.append(frontend)
            subscribe_to.insert(0, backend)
        self.publisher = _publisher(
            bind,
            connect=publish_to,
            name=None if plain else name,
            linger=linger,
            on_event=self._publisher_event,
        )
        try:
            self.subscriber = Subscriber(subscribe_to, topics=[room], on_event=on_event)
            # Other chats may connect to this one before it has an address to connect to.
            self.subscriber._suppress_idle_warning()  # noqa: SLF001
        except BaseException:
            self.publisher.close(linger=0)
            raise
        work = {"zmqchat-chat": self._read}
        if not plain:
            work["zmqchat-chat-presence"] = self._send_presence
        self._threads = [_threads.make(function, name) for name, function in work.items()]
        _all.add(self)
        started = []
        try:
            for thread in self._threads:
                start_thread(thread)
                started.append(thread)
        except ZmqChatError:
            # It has not sent presence yet, so it does not announce its end.
            self._threads, self.closed = started, True
            self.close(linger=0)
            raise

    def is_inherited(self) -> bool:
        """Whether this process is a forked child of the one that made the chat."""
        return os.getpid() != self._pid

    def check_fork(self) -> None:
        """Raise in a forked child, before taking a lock that may be held forever."""
        if self.is_inherited():
            raise ZmqChatError(
                errno.EPERM,
                "this Chat was made before the fork and belongs to the parent process: make a new "
                'Chat in the child, or start children with the "spawn" method',
            )

    def check(self) -> None:
        """Raise if the chat is closed, or in a forked child."""
        self.check_fork()
        if self.closed:
            raise _closed()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Check the chat, and turn a ClosedError of its sockets into one of the chat."""
        self.check()
        try:
            yield
        except ClosedError:
            raise _closed() from None

    def wait(self, poll: Callable[[], T | None], timeout: float | None, error: str) -> T:
        """Wait for a result of `poll`.

        Args:
            poll: Called with the lock held after each change; returns None to wait for the next.
            timeout: Seconds; None waits forever, 0 checks once.
            error: The text of the TimeoutError.

        Returns:
            The result.
        """
        timeout = seconds("timeout", timeout)
        deadline = None if timeout is None else monotonic() + timeout
        self.check()
        with self.changed:
            while True:
                self.check()
                found = poll()
                if found is not None:
                    return found
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(error)
                slices = [one for one in (left, _SLICE, _threads.TIMEOUT_MAX) if one is not None]
                self.changed.wait(min(slices))

    # ---- calls of the user

    def say(self, text: str, kind: str | None, room: str | None) -> Message:
        """Send one message to a room, and return it as the members receive it."""
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
        """Subscribe to a room, and make it the current one."""
        with self.in_use(), self.changed:
            if room not in self._rooms:
                if len(self._rooms) >= MOST_ROOMS:
                    raise ValueError(f"a chat has at most {MOST_ROOMS} rooms: leave one first")
                self.subscriber.subscribe(room)
                self._rooms[room] = monotonic()
                self._schedule_answer()
            self.room = room

    def leave(self, room: str) -> None:
        """Unsubscribe from a room."""
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
        """Return the room, or the current one for None; raise if it was not joined."""
        room = self.room if room is None else room
        if room not in self._rooms:
            raise ValueError(f"you are not in {room!r}: join it first")
        return room

    @property
    def rooms(self) -> list[str]:
        """The joined rooms, in this order."""
        return list(self._rooms)

    def close(self, linger: float | None = None) -> None:
        """Announce the end to the members, and close the sockets."""
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
                thread.join(_CALLBACK_TIMEOUT)

    def close_quietly(self) -> None:
        """Close an unreferenced chat, without exceptions; do nothing in a forked child."""
        if not self.is_inherited():
            with suppress(Exception):
                self.close()

    def _send(self, text: str, kind: str | None, room: str) -> Message:
        """Send a message; the caller holds the lock, so that the stamp belongs to this message."""
        stamp = self.publisher._send_kind(text, kind, topic=room)  # noqa: SLF001
        frame = f"{room}:{text}".encode()
        message = Message([frame, stamp] if stamp else [frame], topic=room)
        if message.instance is not None:
            if message.instance not in self._own_instances:
                self._own_instances.add(message.instance)
                # Own messages that a relay does not return do not count as lost.
                self.subscriber._ignore_sender(message.instance)  # noqa: SLF001
        elif self.relayed:
            self._echoes.append((monotonic() + _ECHO, frame))
        return message

    # ---- the receiving thread

    def _read(self) -> None:
        interval = self._heartbeat / _SWEEPS
        due = monotonic() + interval
        try:
            while True:
                message = self.subscriber._next_from(timeout=0)  # noqa: SLF001
                if message is None:
                    # The queue is empty, so no presence of a member is waiting in it.
                    now = monotonic()
                    if now >= due:
                        due = now + interval
                        if self.publisher.closed:
                            # In a notebook, a new run of the cell has taken over the port.
                            self.close_quietly()
                            return
                        self._sweep_members(now)
                    message = self.subscriber._next_from(timeout=due - now)  # noqa: SLF001
                if message is not None:
                    self._receive(message)
        except ClosedError:
            pass
        finally:
            # End all waits: no further message will arrive.
            with self.changed:
                self.closed = True
                self.changed.notify_all()

    def _receive(self, message: Message) -> None:
        now = monotonic()
        with self.changed:
            if message.topic not in self._rooms or self._is_own(message, now):
                return
            notice = self.members.record(message, now)
            ordinary = not message._is_presence  # noqa: SLF001
            if not ordinary and message.kind == "come":
                self._schedule_answer()
            if ordinary:
                self.heard += 1
                if self.on_message is None:
                    self._queue(message)
            self.changed.notify_all()
        if notice is not None:
            self._call_back(self._on_notice, notice)
        if ordinary:
            self._call_back(self.on_message, message)

    def _queue(self, message: Message) -> None:
        if len(self.unread) >= _UNREAD:
            self.unread.popleft()
            self.dropped += 1
        self.unread.append(message)

    def _is_own(self, message: Message, now: float) -> bool:
        if message.instance is not None:
            return message.instance in self._own_instances
        while self._echoes and self._echoes[0][0] < now:
            self._echoes.popleft()
        for echo in self._echoes:
            if echo[1] == message.raw:
                self._echoes.remove(echo)
                return True
        return False

    def _sweep_members(self, now: float) -> None:
        with self.changed:
            notices = self.members.sweep(now)
            self.changed.notify_all()
        for notice in notices:
            self._call_back(self._on_notice, notice)

    def _call_back(self, callback: Callable[..., object] | None, what: Message | Notice) -> None:
        if callback is None or self.closed:
            return
        try:
            callback(what)
        except BaseException:
            # The chat continues. At the end of the program, failures are not logged.
            if not _is_shutting_down():
                logging.getLogger("zmqchat_rs").exception("a callback of a chat failed")

    # ---- the presence thread

    def _send_presence(self) -> None:
        with suppress(ClosedError), self.changed:
            while not self.closed:
                now = monotonic()
                if now < self._presence_timer.due:
                    self.changed.wait(self._presence_timer.due - now)
                    continue
                self._presence_timer.sent(now)
                for room, joined in self._rooms.items():
                    # A member that subscribes late also receives that this chat is new.
                    kind = "come" if now - joined < self._heartbeat else "here"
                    self._send("", kind, room)

    def _schedule_answer(self) -> None:
        """Send presence soon; the caller holds the lock."""
        self._presence_timer.schedule_answer(monotonic(), self.members.count())
        self.changed.notify_all()

    def _publisher_event(self, event: Event) -> None:
        """Send presence to a new subscriber; a relay subscribes for its subscribers."""
        if event.kind == "subscribed" and not self.plain:
            with self.changed:
                if isinstance(event.subscription, bytes) or event.subscription in self._rooms:
                    self._schedule_answer()
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
        # The advice is about ports, not about paths.
        if error.errno != errno.EADDRINUSE or "ipc://" in (error.strerror or ""):
            raise
        raise ZmqChatError(
            errno.EADDRINUSE,
            f"{error.strerror}. A second chat on this laptop needs another port; if a relay uses "
            'this one, connect to it: via="127.0.0.1", which binds nothing',
        ) from error


def _closed() -> ClosedError:
    return ClosedError(errno.EBADF, "this Chat is closed: make a new Chat")


def _close_all() -> None:
    """Close all chats at the end of the program, before the linger of queued messages begins."""
    for engine in list(_all):
        engine.close_quietly()


# Registered after the package's own function, so it runs before that.
atexit.register(_close_all)
