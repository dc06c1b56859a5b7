"""Lost lines of a chat are counted; lost presence messages are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from tests.helpers.chats import RELAY, chat, chats, texts
from tests.helpers.stamps import stamp, stamping_publisher
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Event, Subscriber

if TYPE_CHECKING:
    import pytest

    from tests.helpers.scripts import StartPython
    from zmqchat_rs import Chat, Message

#: Seconds between two presence messages. Many of them are lost within a test.
SHORT_HEARTBEAT = 0.1


def is_presence(message: Message) -> bool:
    return message.kind in ("come", "here")


def receive_presence(subscriber: Subscriber, count: int) -> None:
    """Receive this number of presence messages, and ignore other messages."""
    for _ in range(count):
        next(filter(is_presence, subscriber))


def wait_for_new_presence(one: Chat, since: Message) -> None:
    """Wait for a presence message that the sender of `since` sent after it."""

    def present() -> bool:
        return any(
            member.instance == since.instance and member.last_seen > since.received_at
            for member in one.members
        )

    wait_until(present, "a presence message")


def test_presence_messages_missed_while_disconnected_are_not_lost() -> None:
    with chats("alice", "bob", heartbeat=SHORT_HEARTBEAT) as (alice, bob), Subscriber(
        alice.addresses[0]
    ) as observer:
        alice.say("Hello")
        first = bob.recv(timeout=TIMEOUT)
        bob.disconnect(alice.addresses[0])
        wait_until(lambda: not bob.members, "bob to have no members")
        receive_presence(observer, 10)
        bob.connect(alice.addresses[0])
        wait_for_new_presence(bob, first)
        assert bob.stats().lost == 0
        alice.say("Still here")
        assert texts(bob, 1) == ["Still here"]
        assert bob.stats().lost == observer.stats().lost == 0


def test_lines_missed_while_disconnected_are_counted_and_reported_with_the_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    with chat("alice", heartbeat=SHORT_HEARTBEAT) as alice, Subscriber(
        alice.addresses[0]
    ) as observer:
        alice.wait_for_listeners(timeout=TIMEOUT)
        with chat("bob", peers=alice.addresses, on_event=events.append) as bob:
            alice.wait_for_listeners(2, timeout=TIMEOUT)
            wait_until(lambda: bob.members, "alice's presence")
            bob.disconnect(alice.addresses[0])
            wait_until(lambda: alice._engine.publisher.subscriber_count == 1, "bob to disconnect")
            for number in range(3):
                alice.say(str(number))
            receive_presence(observer, 5)
            bob.connect(alice.addresses[0])
            # A presence message reveals the loss: alice sends no further line.
            wait_until(lambda: bob.stats().lost, "the loss")
            assert bob.stats().lost == 3
            wait_until(lambda: [one for one in events if one.kind == "lost"], "the event")
        (lost,) = [one for one in events if one.kind == "lost"]
        assert (lost.address, lost.count) == ("alice", 3)
        text = "lost 3 messages from alice: a connection was interrupted"
        assert str(lost) == text
        assert text in caplog.text


def test_a_relay_restart_loses_only_the_lines_sent_during_it(
    start_python: StartPython, free_port: Callable[[], int]
) -> None:
    via = tuple(f"127.0.0.1:{free_port()}" for _ in range(2))
    relay = start_python(RELAY, *via)
    assert relay.line() == "ready"
    with chat("alice", via=via, heartbeat=SHORT_HEARTBEAT) as alice, chat(
        "bob", via=via, heartbeat=SHORT_HEARTBEAT
    ) as bob:
        for missed in (0, 2):
            for one in (alice, bob):
                one.wait_for_members(timeout=TIMEOUT)
            alice.say("Hello")
            first = bob.recv(timeout=TIMEOUT)
            relay.kill()
            wait_until(lambda: not bob.members, "bob to have no members")
            for number in range(missed):
                alice.say(f"lost {number}")
            relay = start_python(RELAY, *via)
            assert relay.line() == "ready"
            wait_for_new_presence(bob, first)
            assert bob.stats().lost == missed


def test_a_presence_message_has_the_sequence_number_of_the_next_line() -> None:
    with chat("alice", heartbeat=SHORT_HEARTBEAT) as alice, Subscriber(alice.addresses[0]) as sub:
        alice.wait_for_listeners(timeout=TIMEOUT)
        for number in range(3):
            assert next(filter(is_presence, sub)).sequence == number
            alice.say("Hello")
            while is_presence(line := sub.recv(timeout=TIMEOUT)):
                pass
            assert line.sequence == number
        assert (sub.stats().lost, sub.stats().duplicates) == (0, 0)


def test_a_message_with_text_is_counted_regardless_of_its_kind() -> None:
    with stamping_publisher() as publisher, Subscriber(publisher.address) as sub:
        publisher.wait()
        for seq, text in ((0, ""), (0, "x"), (1, "y"), (3, ""), (3, "z"), (5, "late")):
            publisher.send_frames(f"lobby:{text}".encode(), stamp(seq, "lobby", kind="here"))
            publisher.send_frames(b"lobby", text.encode(), stamp(seq, "lobby", kind="here", id="2"))
            for _ in range(2):
                assert sub.recv(timeout=TIMEOUT).text == text
        assert (sub.stats().lost, sub.stats().duplicates) == (4, 0)
