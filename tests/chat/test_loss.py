"""What counts as lost in a chat: lines, and not the presence between them."""

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

#: Seconds between two presence messages, so that many of them are lost within a test.
OFTEN = 0.1


def is_here(message: Message) -> bool:
    return message.kind in ("come", "here")


def receive_presence(subscriber: Subscriber, count: int) -> None:
    """Receive until the chat that it is subscribed to has sent its presence this often."""
    for _ in range(count):
        next(filter(is_here, subscriber))


def wait_for_new_presence(one: Chat, since: Message) -> None:
    """Wait until the sender of a message is present again, after it was received."""

    def present() -> bool:
        return any(
            member.instance == since.instance and member.last_seen > since.received_at
            for member in one.members
        )

    wait_until(present, "presence")


def test_presence_that_is_lost_while_disconnected_is_not_a_loss() -> None:
    with chats("alice", "bob", heartbeat=OFTEN) as (alice, bob), Subscriber(
        alice.addresses[0]
    ) as witness:
        alice.say("Hello")
        said = bob.recv(timeout=TIMEOUT)
        bob.disconnect(alice.addresses[0])
        wait_until(lambda: not bob.members, "alice to be lost")
        receive_presence(witness, 10)
        bob.connect(alice.addresses[0])
        wait_for_new_presence(bob, said)
        assert bob.stats().lost == 0
        alice.say("Still here")
        assert texts(bob, 1) == ["Still here"]
        assert bob.stats().lost == witness.stats().lost == 0


def test_lines_that_are_lost_while_disconnected_are_counted_and_reported_with_their_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    with chat("alice", heartbeat=OFTEN) as alice, Subscriber(alice.addresses[0]) as witness:
        alice.wait_for_listeners(timeout=TIMEOUT)
        with chat("bob", peers=alice.addresses, on_event=events.append) as bob:
            alice.wait_for_listeners(2, timeout=TIMEOUT)
            wait_until(lambda: bob.members, "alice's presence")
            bob.disconnect(alice.addresses[0])
            wait_until(lambda: alice._engine.publisher.subscriber_count == 1, "bob to disconnect")
            for number in range(3):
                alice.say(str(number))
            receive_presence(witness, 5)
            bob.connect(alice.addresses[0])
            # Presence alone reveals it: alice says nothing more.
            wait_until(lambda: bob.stats().lost, "the loss")
            assert bob.stats().lost == 3
            wait_until(lambda: [one for one in events if one.kind == "lost"], "the event")
        (lost,) = [one for one in events if one.kind == "lost"]
        assert (lost.address, lost.count) == ("alice", 3)
        said = "lost 3 messages from alice: a connection was interrupted"
        assert str(lost) == said
        assert said in caplog.text


def test_a_relay_that_is_restarted_costs_only_what_was_said_meanwhile(
    start_python: StartPython, free_port: Callable[[], int]
) -> None:
    via = tuple(f"127.0.0.1:{free_port()}" for _ in range(2))
    relay = start_python(RELAY, *via)
    assert relay.line() == "ready"
    with chat("alice", via=via, heartbeat=OFTEN) as alice, chat(
        "bob", via=via, heartbeat=OFTEN
    ) as bob:
        for missed in (0, 2):
            for one in (alice, bob):
                one.wait_for_members(timeout=TIMEOUT)
            alice.say("Hello")
            said = bob.recv(timeout=TIMEOUT)
            relay.kill()
            wait_until(lambda: not bob.members, "alice to be lost")
            for number in range(missed):
                alice.say(f"lost {number}")
            relay = start_python(RELAY, *via)
            assert relay.line() == "ready"
            wait_for_new_presence(bob, said)
            assert bob.stats().lost == missed


def test_presence_has_the_number_of_the_next_line() -> None:
    with chat("alice", heartbeat=OFTEN) as alice, Subscriber(alice.addresses[0]) as sub:
        alice.wait_for_listeners(timeout=TIMEOUT)
        for number in range(3):
            assert next(filter(is_here, sub)).sequence == number
            alice.say("Hello")
            while is_here(said := sub.recv(timeout=TIMEOUT)):
                pass
            assert said.sequence == number
        assert (sub.stats().lost, sub.stats().duplicates) == (0, 0)


def test_a_line_with_text_counts_whatever_its_kind() -> None:
    with stamping_publisher() as eve, Subscriber(eve.address) as sub:
        eve.wait()
        for seq, text in ((0, ""), (0, "x"), (1, "y"), (3, ""), (3, "z"), (5, "late")):
            eve.send_frames(f"lobby:{text}".encode(), stamp(seq, "lobby", kind="here"))
            eve.send_frames(b"lobby", text.encode(), stamp(seq, "lobby", kind="here", id="2"))
            for _ in range(2):
                assert sub.recv(timeout=TIMEOUT).text == text
        assert (sub.stats().lost, sub.stats().duplicates) == (4, 0)
