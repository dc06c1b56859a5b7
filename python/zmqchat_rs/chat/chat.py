"""The class `Chat`: a publisher and a subscriber as one object."""

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

_PEERS = 'the addresses of other chats go into peers="192.168.1.12"'
_ROOM = 'a room is a topic, as in room="room1"; chat.join("room2") adds another'
#: Advice for arguments that other classes have.
_INSTEAD = {
    **dict.fromkeys(("connect", "peer", "host", "address", "ip", "endpoint"), _PEERS),
    **dict.fromkeys(("topic", "topics", "rooms"), _ROOM),
    "port": 'the port is part of the address, as in bind="*:5556"',
    "relay": 'use via="192.168.1.10"',
    "timeout": "each call that waits has its own, as in chat.recv(timeout=5)",
}


class Chat:
    """A member of a group chat: sends and receives messages in rooms, and lists the members.

    Each laptop binds a port and connects to the other chats (`peers`), or all of them connect to a
    relay (`via`). A room is a topic: the chat receives ``lobby:Hello`` from a plain pyzmq publisher
    in ``lobby``. A pyzmq subscriber receives each line with a stamp frame, which names the sender.
    The chat does not receive its own messages. `on_notice` reports members that join, leave or are
    lost. Iterating over the chat yields messages until it is closed.

    It may be used from any thread. Leaving its ``with`` block closes it, and so does the end of the
    program. A forked child must create its own.

    Args:
        name: The name of the sender: 1 to 255 bytes of printable text. Members with the same name
            get different labels.
        room: The first room; a topic: 1 to 255 bytes of printable UTF-8, without ``:`` or spaces.
        bind: One or several addresses that other chats connect to; None means ``*:5555``, or no
            address if `via` is given.
        peers: One or several addresses of other chats, such as ``192.168.1.12``. These chats may
            start later.
        via: A relay's host: the chat receives from port 5555 and sends to port 5556. With a port,
            ``teacher-pc:6000``, it receives from that port and sends to the next one. Or both
            addresses, frontend and backend: ``("teacher-pc:7001", "teacher-pc:7000")``. None for no
            relay.
        plain: Whether to send ``lobby:alice: Hello`` in one frame, without stamps and without
            presence, for subscribers in pyzmq.
        heartbeat: Average seconds between two presence messages, 0.05 to 86,400. A member without
            presence for three and a half heartbeats is lost. All members of a room should have the
            same heartbeat.
        linger: Seconds for unsent messages after the close; 0 drops them at once.
        on_message: Called with each received `Message`, which is then not queued for `recv`. A
            thread of the chat makes one call at a time, in order with `on_notice`; exceptions are
            logged. None queues the messages.
        on_notice: Called in the same way with a `Notice` when a member joins, leaves or is lost.
        on_event: Called with an `Event` when something happens to a connection, as with
            `Subscriber` and `Publisher`.

    Raises:
        ValueError: If an argument is invalid, such as port 99999; the error shows what to
            pass instead.
        TypeError: If an argument has the wrong type.
        ZmqChatError: If the address to bind is in use, or does not belong to this host.
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
        # At the end of the program, the engine closes itself.
        weakref.finalize(self, self._engine.close_quietly).atexit = False

    # ---- messages

    def say(self, text: str, *, room: str | None = None) -> Message:
        """Send a line to all members of a room; never waits.

        Args:
            text: The line. Line breaks are sent, and printed escaped.
            room: One of `rooms`; None for the current one, `room`.

        Returns:
            The message as the members receive it.

        Raises:
            ValueError: If the chat is not in this room, or the text exceeds 64 MiB.
            TypeError: If `text` is not a str.
            ClosedError: If the chat is closed.
        """
        return self._engine.say(text, None, room)

    def me(self, action: str, *, room: str | None = None) -> Message:
        """Send an action: ``chat.me("waves")`` is shown as ``* alice waves``.

        Args:
            action: The action.
            room: As in `say`.

        Returns:
            The message as the members receive it.

        Raises:
            ValueError: As in `say`.
            ClosedError: If the chat is closed.
        """
        return self._engine.say(action, "action", room)

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for the next message of another member.

        Ctrl+C ends the wait, and so does `close` in another thread.

        Args:
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            The message.

        Raises:
            TimeoutError: If no message arrives within the timeout.
            ValueError: If `timeout` is negative.
            ClosedError: If the chat is closed.
            ZmqChatError: If `on_message` receives the messages.
        """
        engine = self._engine
        if engine.on_message is not None:
            raise ZmqChatError(
                errno.EINVAL,
                "this chat passes its messages to on_message: recv needs a chat without it",
            )
        return engine.wait(
            lambda: engine.unread.popleft() if engine.unread else None,
            timeout,
            "no message arrived within the timeout",
        )

    def __iter__(self) -> Self:
        """The chat itself; the iteration ends when the chat is closed."""
        return self

    def __next__(self) -> Message:
        """The next message of another member."""
        try:
            return self.recv()
        except ClosedError:
            if self.closed:
                raise StopIteration from None
            raise

    # ---- rooms and members

    @property
    def name(self) -> str:
        """The name of the sender."""
        return self._engine.name

    @property
    def room(self) -> str:
        """The current room, to which `say` sends."""
        return self._engine.room

    @property
    def rooms(self) -> list[str]:
        """All joined rooms, in this order."""
        return self._engine.rooms

    def join(self, room: str) -> None:
        """Join a room, and make it the current one. A chat has at most 64 rooms.

        Args:
            room: The room; one that was joined before only becomes the current one.

        Raises:
            ValueError: If it is not a valid topic, or the chat has 64 rooms already.
            ClosedError: If the chat is closed.
        """
        self._engine.join(room)

    def leave(self, room: str | None = None) -> None:
        """Leave a room; if it was the current one, the last joined room becomes current.

        Args:
            room: The room; None for the current one.

        Raises:
            ValueError: If the chat is not in this room, or it is the only room.
            ClosedError: If the chat is closed.
        """
        self._engine.leave(self.room if room is None else room)

    @property
    def members(self) -> list[Member]:
        """The members whose messages arrived lately, by room and name; without this chat."""
        self._engine.check_fork()
        with self._engine.changed:
            return self._engine.members.list()

    def label(self, message: Message) -> str | None:
        """The label of a message's sender, for the argument `sender` of `Message.render`.

        Args:
            message: A message of this chat.

        Returns:
            The name, with digits of the instance if several members have this name; for a message
            without a stamp its address or "?"; None if its text begins with a name, as in plain
            chats.
        """
        self._engine.check_fork()
        with self._engine.changed:
            return self._engine.members.label_of(message)

    def wait_for_listeners(
        self, count: int = 1, *, room: str | None = None, timeout: float | None = None
    ) -> int:
        """Wait until peers receive the messages of a room, with or without presence.

        Counts the connected peers that subscribe to the room, including plain pyzmq. A relay counts
        as one; it subscribes as soon as the subscription of this chat has reached it.

        Args:
            count: The number of subscribed peers to wait for.
            room: One of `rooms`; None for the current one.
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            The number of subscribed peers, `count` or more.

        Raises:
            TimeoutError: If fewer are subscribed after the timeout.
            ValueError: If the chat is not in this room, or `count` or `timeout` is negative.
            ClosedError: If the chat is closed.
        """
        with self._engine.in_use():
            topic = self._engine.one_of_rooms(room)
            return self._engine.publisher.wait_for_subscribers(count, topic=topic, timeout=timeout)

    def wait_for_members(
        self, count: int = 1, *, room: str | None = None, timeout: float | None = None
    ) -> int:
        """Wait until members are present and receive messages, so that they get the first line.

        Args:
            count: The number of members to wait for; only members with presence count.
            room: One of `rooms`; None for the current one.
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            The number of present members, `count` or more.

        Raises:
            TimeoutError: If fewer are present after the timeout.
            ValueError: If the chat is not in this room or leaves it, or `timeout` is negative.
            ClosedError: If the chat is closed.
        """
        engine = self._engine
        timeout = seconds("timeout", timeout)
        engine.check()
        room = engine.one_of_rooms(room)
        deadline = None if timeout is None else monotonic() + timeout

        def enough() -> int | None:
            here = engine.members.count(engine.one_of_rooms(room))
            return here if here >= count else None

        here = engine.wait(
            enough, timeout, f"fewer than {count} members were present in {room} within the timeout"
        )
        left = None if deadline is None else max(0.0, deadline - monotonic())
        # A relay is one subscriber for all members.
        self.wait_for_listeners(min(1, count) if engine.relayed else count, room=room, timeout=left)
        return here

    # ---- connections

    @property
    def addresses(self) -> list[str]:
        """The addresses for other chats to connect to, best first; empty if nothing is bound."""
        return self._engine.publisher.addresses

    @property
    def endpoint(self) -> str | None:
        """The first bound endpoint, for connections from this host; None if nothing is bound."""
        return self._engine.publisher.endpoint

    @property
    def peers(self) -> list[Peer]:
        """The connections to other chats or a relay, with their state."""
        with self._engine.in_use():
            return self._engine.subscriber.peers

    def connect(self, address: str) -> None:
        """Connect to one more chat, as with `peers`; a second call with an address does nothing.

        Args:
            address: The address of the chat, which may start later.

        Raises:
            ValueError: If the address is invalid; the error shows what to pass instead.
            ClosedError: If the chat is closed.
        """
        with self._engine.in_use():
            self._engine.subscriber.connect(address)

    def disconnect(self, address: str) -> None:
        """Disconnect from another chat.

        Args:
            address: The address as it was given.

        Raises:
            ValueError: If the chat is not connected to it. The error lists the connections.
            ClosedError: If the chat is closed.
        """
        with self._engine.in_use():
            self._engine.subscriber.disconnect(address)

    def stats(self) -> ChatStats:
        """The counts of messages so far.

        Returns:
            A snapshot of the sent, received, lost and dropped messages.

        Raises:
            ClosedError: If the chat is closed.
        """
        engine = self._engine
        with engine.in_use():
            lost = engine.subscriber.stats().lost
        with engine.changed:
            return ChatStats(engine.said, engine.heard, lost, engine.dropped)

    # ---- the end

    @property
    def closed(self) -> bool:
        """Whether the chat is closed."""
        return self._engine.closed

    def close(self, linger: float | None = None) -> None:
        """Announce the end to the members and close; returns when the port is free again.

        Unsent messages are still sent in the background. A waiting call in another thread raises
        ClosedError, and a loop over the chat ends. Closing twice does nothing.

        Args:
            linger: Seconds for unsent messages; None uses the constructor's value, 0 drops them.

        Raises:
            ValueError: If `linger` is negative or infinite.
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
        """Close the chat, except in a forked child."""
        if not self._engine.is_inherited():
            self.close()

    def __repr__(self) -> str:
        """The name, the rooms, and the number of other members."""
        engine = self._engine
        if engine.closed:
            return "<Chat closed>"
        others = engine.members.count()
        return f"<Chat {sanitize(engine.name)} in {', '.join(engine.rooms)}, {others} present>"
