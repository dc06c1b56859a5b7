"""Two-way and group chat: a publisher and a subscriber as one object."""

from __future__ import annotations

import errno
import weakref
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import ClosedError, Message, Peer, ZmqChatError, sanitize
from zmqchat_rs._validation import function, helpful_arguments, seconds

from .engine import Engine
from .members import ChatStats, Member, Notice, check_name
from .presence import check_heartbeat

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Callable, Sequence

    from typing_extensions import Self

    from zmqchat_rs.events import Event

__all__ = ["Chat", "ChatStats", "Member", "Notice"]

_PEERS = 'the addresses of the others are peers="192.168.1.12"'
_ROOM = 'a room is a topic, as in room="room1"; chat.join("room2") adds another'
#: What to type instead of arguments that other classes have.
_INSTEAD = {
    **dict.fromkeys(("connect", "peer", "host", "address", "ip", "endpoint"), _PEERS),
    **dict.fromkeys(("topic", "topics", "rooms"), _ROOM),
    "port": 'the port is part of the address, as in bind="*:5556"',
    "relay": 'use via="192.168.1.10"',
    "timeout": "each call that waits has its own, as in chat.recv(timeout=5)",
}


class Chat:
    """Talks with others in rooms: says, hears, and knows who is there.

    Each laptop binds a port and connects to the others (`peers`), or all go through a relay
    (`via`). A room is a topic: whoever publishes ``lobby:Hello`` with plain pyzmq is heard in
    ``lobby``, and hears each line followed by a stamp, which names the speaker. What it says itself
    does not come back. Who comes, goes or falls silent is told to `on_notice`; iterating over the
    chat waits for the others' messages until somebody closes it.

    Any threads may share it. Leaving its ``with`` block closes it; the end of the program does,
    too. A forked child must make its own.

    Args:
        name: Who speaks: 1 to 255 bytes of text that shows. Two of the same name are told apart.
        room: The first room; a topic: 1 to 255 bytes of UTF-8, printable, without ``:`` or spaces.
        bind: Where the others connect to, one address or several; None means ``*:5555``, or nothing
            where `via` is given.
        peers: The others' addresses, one or several, such as ``192.168.1.12``. They need not be
            there yet.
        via: A relay's host: it is heard at port 5555 and spoken to at port 5556. With a port,
            ``teacher-pc:6000``, it is heard there and spoken to at the next one. Or both addresses,
            where to speak and where to hear: ``("teacher-pc:7001", "teacher-pc:7000")``. None for
            no relay.
        plain: Whether to send ``lobby:alice: Hello`` in one frame, without stamps and without
            presence, for company that reads with pyzmq.
        heartbeat: Seconds between two signs of life, on average, 0.05 to 86,400. Who gives none for
            three and a half heartbeats is lost. All in a room should have the same.
        linger: Seconds that unsent messages may take after the close; 0 drops them at once.
        on_message: Called with each `Message` of others, which is then not queued for `recv`.
            Called in a thread of the chat's, one call at a time and in order with `on_notice`; what
            it raises is logged. None queues the messages.
        on_notice: Called likewise with a `Notice` whenever somebody comes, goes or is lost.
        on_event: Called with an `Event` whenever something happens to a connection, as with
            `Subscriber` and `Publisher`.

    Raises:
        ValueError: An argument cannot work, such as port 99999; the text says what to type instead.
        TypeError: An argument is of the wrong kind.
        ZmqChatError: The address to bind is in use, or not this machine's.
    """

    @helpful_arguments("peers", _INSTEAD)
    def __init__(  # noqa: PLR0913
        self,
        name: str,
        *,
        room: str = "lobby",
        bind: str | Sequence[str] | None = None,
        peers: str | Sequence[str] = (),
        via: str | Sequence[str] | None = None,
        plain: bool = False,
        heartbeat: float = 5.0,
        linger: float = 1.0,
        on_message: Callable[[Message], object] | None = None,
        on_notice: Callable[[Notice], object] | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        heartbeat = check_heartbeat(heartbeat)
        function("on_message", on_message, "a Message")
        function("on_notice", on_notice, "a Notice")
        check_name(name, plain=plain)
        self._engine = Engine(
            name,
            room=room,
            bind=bind,
            peers=peers,
            via=via,
            plain=plain,
            heartbeat=heartbeat,
            linger=linger,
            on_message=on_message,
            on_notice=on_notice,
            on_event=on_event,
        )
        # The end of the program has a way of its own.
        weakref.finalize(self, self._engine.let_go).atexit = False

    # ---- saying and hearing

    def say(self, text: str, *, room: str | None = None) -> Message:
        """Say something to everybody in a room; never waits.

        Args:
            text: What to say, one line; line breaks reach the others, who see them escaped.
            room: One of `rooms`; None for the current one, `room`.

        Returns:
            The message as the others get it.

        Raises:
            ValueError: It is none of your rooms, or the text exceeds 64 MiB.
            TypeError: `text` is no str.
            ClosedError: The chat is closed.
        """
        return self._engine.say(text, None, room)

    def me(self, action: str, *, room: str | None = None) -> Message:
        """Say what you do: ``chat.me("waves")`` is shown as ``* alice waves``.

        Args:
            action: What you do.
            room: As in `say`.

        Returns:
            The message as the others get it.

        Raises:
            ValueError: As in `say`.
            ClosedError: The chat is closed.
        """
        return self._engine.say(action, "action", room)

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for the next message of somebody else.

        Ctrl+C ends the wait, `close` in another thread does, too.

        Args:
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            The message.

        Raises:
            TimeoutError: None came in time.
            ValueError: `timeout` is negative.
            ClosedError: The chat is closed.
            ZmqChatError: `on_message` gets the messages.
        """
        engine = self._engine
        if engine.on_message is not None:
            raise ZmqChatError(errno.EINVAL, "this chat hands its messages to on_message")
        return engine.wait(
            lambda: engine.unread.popleft() if engine.unread else None,
            timeout,
            "nobody said anything in time",
        )

    def __iter__(self) -> Self:
        """The chat itself; it ends when somebody closes it."""
        return self

    def __next__(self) -> Message:
        """The next message of somebody else."""
        try:
            return self.recv()
        except ClosedError:
            if self.closed:
                raise StopIteration from None
            raise

    # ---- rooms, and who is there

    @property
    def name(self) -> str:
        """The name that the others see."""
        return self._engine.name

    @property
    def room(self) -> str:
        """The current room, which `say` uses."""
        return self._engine.room

    @property
    def rooms(self) -> list[str]:
        """All rooms that are heard, in the order in which they were joined."""
        return self._engine.rooms

    def join(self, room: str) -> None:
        """Hear a room, too, and make it the current one. One may be in 64 rooms at once.

        Args:
            room: The room; if you are there already, it becomes the current one and no more.

        Raises:
            ValueError: It breaks the grammar of topics, or there are 64 already.
            ClosedError: The chat is closed.
        """
        self._engine.join(room)

    def leave(self, room: str | None = None) -> None:
        """Hear a room no longer; the one that was joined last becomes the current one.

        Args:
            room: The room; None for the current one.

        Raises:
            ValueError: You are not there, or it is your only room.
            ClosedError: The chat is closed.
        """
        self._engine.leave(self.room if room is None else room)

    @property
    def members(self) -> list[Member]:
        """The others who were heard lately, by room and name."""
        self._engine.check_fork()
        with self._engine.changed:
            return self._engine.members.list()

    def label(self, message: Message) -> str | None:
        """Whom to name as the sender of a message: the `sender` of `Message.render`.

        Args:
            message: One that this chat gave.

        Returns:
            The name, with some digits of the instance where several have that name; for a message
            without a stamp its address or "?"; None where its text begins with a name, as plain
            chats send it.
        """
        self._engine.check_fork()
        with self._engine.changed:
            return self._engine.members.label_of(message)

    def wait_for_listeners(
        self, count: int = 1, *, room: str | None = None, timeout: float | None = None
    ) -> int:
        """Wait until what is said reaches somebody, whether or not we hear of them.

        Counts connected peers who subscribe to the room, plain pyzmq too; a relay is one, who
        listens as soon as it knows that we do.

        Args:
            count: How many must be there.
            room: One of `rooms`; None for the current one.
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            How many there are, `count` or more.

        Raises:
            TimeoutError: They did not come in time.
            ValueError: It is none of your rooms, or `count` or `timeout` is negative.
            ClosedError: The chat is closed.
        """
        with self._engine.in_use():
            topic = self._engine.one_of_rooms(room)
            return self._engine.publisher.wait_for_subscribers(count, topic=topic, timeout=timeout)

    def wait_for_members(
        self, count: int = 1, *, room: str | None = None, timeout: float | None = None
    ) -> int:
        """Wait until others are there and hear us, so that nobody misses the first word.

        Args:
            count: How many must be there; only those count whose presence is heard.
            room: One of `rooms`; None for the current one.
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            How many are there, `count` or more.

        Raises:
            TimeoutError: They did not come in time.
            ValueError: It is none of your rooms, or no more, or `timeout` is negative.
            ClosedError: The chat is closed.
        """
        engine = self._engine
        timeout = seconds("timeout", timeout)
        engine.check()
        room = engine.one_of_rooms(room)
        deadline = None if timeout is None else monotonic() + timeout

        def enough() -> int | None:
            here = engine.members.count(engine.one_of_rooms(room))
            return here if here >= count else None

        here = engine.wait(enough, timeout, f"fewer than {count} were heard in {room} in time")
        left = None if deadline is None else max(0.0, deadline - monotonic())
        # Through a relay all of them are one listener.
        self.wait_for_listeners(min(1, count) if engine.relayed else count, room=room, timeout=left)
        return here

    # ---- connections

    @property
    def addresses(self) -> list[str]:
        """What the others can type to connect, best first; empty where nothing is bound."""
        return self._engine.publisher.addresses

    @property
    def endpoint(self) -> str | None:
        """The first bound endpoint, to which this host can connect; None where nothing is bound."""
        return self._engine.publisher.endpoint

    @property
    def peers(self) -> list[Peer]:
        """The connections to those whom we hear, as they stand."""
        with self._engine.in_use():
            return self._engine.subscriber.peers

    def connect(self, address: str) -> None:
        """Hear one more, as with `peers`; nothing changes when it is heard already.

        Args:
            address: Where they can be reached. They need not be there yet.

        Raises:
            ValueError: The address cannot work; the text says what to type instead.
            ClosedError: The chat is closed.
        """
        with self._engine.in_use():
            self._engine.subscriber.connect(address)

    def disconnect(self, address: str) -> None:
        """Hear one of them no longer.

        Args:
            address: The address as it was given.

        Raises:
            ValueError: There is no such connection; the text lists those that there are.
            ClosedError: The chat is closed.
        """
        with self._engine.in_use():
            self._engine.subscriber.disconnect(address)

    def stats(self) -> ChatStats:
        """What it has done so far.

        Returns:
            A snapshot: messages said, heard, lost and dropped.

        Raises:
            ClosedError: The chat is closed.
        """
        engine = self._engine
        with engine.in_use():
            lost = engine.subscriber.stats().lost
        with engine.changed:
            return ChatStats(engine.said, engine.heard, lost, engine.dropped)

    # ---- the end

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._engine.closed

    def close(self, linger: float | None = None) -> None:
        """Say good-bye and close; returns when the port is free again. Twice changes nothing.

        What was said and not sent goes on being sent in the background. A call that waits in
        another thread ends with ClosedError, and a loop over the chat ends.

        Args:
            linger: Seconds that this may take; None uses the constructor's, 0 drops it.

        Raises:
            ValueError: `linger` is negative or infinite.
        """
        self._engine.close(linger)

    def __enter__(self) -> Self:
        """The chat itself; leaving the ``with`` block closes it."""
        self._engine.check()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it, unless it is another process's."""
        if not self._engine.is_inherited():
            self.close()

    def __repr__(self) -> str:
        """Who, where, and how many others."""
        engine = self._engine
        if engine.closed:
            return "<Chat closed>"
        others = engine.members.count()
        return f"<Chat {sanitize(engine.name)} in {', '.join(engine.rooms)}, {others} present>"
