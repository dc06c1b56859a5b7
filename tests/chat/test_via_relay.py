"""Chats through a relay: only the relay has addresses, and it may be restarted."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Callable

import pytest
import zmq

from tests.helpers.chats import PROXY, RELAY, RecordedNotices, chat, start_proxy, texts
from tests.helpers.stamps import stamping_publisher
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Chat
from zmqchat_rs.chat.relay import relay_addresses

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

numbers = itertools.count()


def test_chats_receive_each_other_through_a_relay_and_no_echo(
    start_python: StartPython,
) -> None:
    via = start_proxy(start_python)
    with chat("alice", via=via) as alice, chat("bob", via=via) as bob:
        for one in (alice, bob):
            one.wait_for_members(timeout=TIMEOUT)
            assert one.addresses == []
        alice.say("Hello")
        assert texts(bob, 1) == ["Hello"]
        bob.say("Hi")
        # An echo of "Hello" would have arrived first.
        assert texts(alice, 1) == ["Hi"]
        assert [one.name for one in alice.members] == ["bob"]


def test_a_new_chat_receives_the_present_members_from_a_relay(start_python: StartPython) -> None:
    via = start_proxy(start_python)
    noticed = RecordedNotices()
    with chat("alice", via=via) as alice:
        alice.wait_for_listeners(timeout=TIMEOUT)
        with chat("bob", via=via, on_notice=noticed) as bob:
            bob.wait_for_members(timeout=TIMEOUT)
        assert noticed.notices[0].name == "alice"


def test_a_plain_chat_receives_no_echo_through_a_relay(start_python: StartPython) -> None:
    via = start_proxy(start_python)
    with chat("alice", via=via, plain=True) as alice, chat("bob", via=via) as bob:
        # A chat's own subscription at the relay also counts as a listener, so
        # `wait_for_listeners` does not show that the other chat is connected.
        send_until_received("first of alice", alice.say, next_text(bob))
        send_until_received("first of bob", bob.say, next_text(alice))
        for _ in range(2):
            alice.say("Hello")
            assert texts_until(bob, "alice: Hello") <= {"alice: first of alice", "alice: Hello"}
        bob.say("Hi")
        # Echoes of "Hello" would have arrived before it.
        assert texts_until(alice, "Hi") <= {"first of bob", "Hi"}


@pytest.mark.parametrize("script", [RELAY, PROXY], ids=["ours", "libzmq's"])
def test_two_chats_and_a_pyzmq_peer_reconnect_after_the_relay_restarts(
    start_python: StartPython, free_port: Callable[[], int], script: str
) -> None:
    frontend, backend = (f"127.0.0.1:{free_port()}" for _ in range(2))
    via = frontend, backend
    relay = start_python(script, *via)
    assert relay.line() == "ready"
    with zmq.Context() as context, context.socket(zmq.PUB) as pub, context.socket(zmq.SUB) as sub:
        pub.linger = sub.linger = 0
        sub.rcvtimeo = int(TIMEOUT * 1000)
        pub.connect(f"tcp://{frontend}")
        sub.connect(f"tcp://{backend}")
        sub.subscribe("lobby:")
        with chat("alice", via=via) as alice, chat("bob", via=via) as bob:
            exchange_messages(alice, bob, pub, sub)
            relay.kill()
            wait_until(lambda: alice.peers[0].state != "connected", "alice to disconnect")
            wait_until(
                lambda: not alice._engine.publisher.subscriber_count, "alice to have no subscriber"
            )
            for number in range(5):
                alice.say(f"lost {number}")
            relay = start_python(script, *via)
            assert relay.line() == "ready"
            for one in (alice, bob):
                one.wait_for_listeners(timeout=TIMEOUT)
            wait_until(lambda: bob.peers[0].state == "connected", "bob to reconnect")
            exchange_messages(alice, bob, pub, sub)
            assert bob.stats().lost >= 5


def test_own_messages_that_a_relay_did_not_return_are_not_lost() -> None:
    with stamping_publisher() as relay, chat("alice", peers=relay.address) as alice:
        relay.wait()
        own = alice.say("Hello").instance
        relay.send(0, 5, topic="lobby", id=own)
        relay.send(0, 2, topic="lobby", id="bob's")
        assert texts(alice, 2) == ["Hello", "Hello"]
        assert alice.stats().lost == 1


def exchange_messages(
    alice: Chat, bob: Chat, pub: zmq.Socket[bytes], sub: zmq.Socket[bytes]
) -> None:
    """Send from each peer until the other peers receive it: they reconnect in any order."""
    senders: list[tuple[Callable[[str], object], list[Callable[[], str]]]] = [
        (alice.say, [next_text(bob), next_payload(sub)]),
        (bob.say, [next_text(alice), next_payload(sub)]),
        (lambda word: pub.send_string(f"lobby:{word}"), [next_text(alice), next_text(bob)]),
    ]
    for send, receivers in senders:
        # A new word each time: earlier words may still be in the queues.
        send_until_received(f"word {next(numbers)}", send, *receivers)


def send_until_received(
    word: str, send: Callable[[str], object], *receivers: Callable[[], str]
) -> None:
    """Send a word until each of the receivers has returned it."""
    for receive in receivers:
        while True:
            send(word)
            if receive().endswith(word):
                break


def next_text(one: Chat) -> Callable[[], str]:
    """A function that returns the next text that the chat receives, or "" after 50 ms."""

    def receive() -> str:
        try:
            return one.recv(timeout=0.05).text
        except TimeoutError:
            return ""

    return receive


def next_payload(sub: zmq.Socket[bytes]) -> Callable[[], str]:
    """A function that returns the next payload that the socket receives, or "" after 50 ms."""

    def receive() -> str:
        return sub.recv_multipart()[0].decode() if sub.poll(50) else ""

    return receive


def texts_until(one: Chat, last: str) -> set[str]:
    """The texts that the chat receives, including the last."""
    received: set[str] = set()
    while last not in received:
        received.update(texts(one, 1))
    return received


@pytest.mark.parametrize(
    ("via", "addresses"),
    [
        ("teacher-pc", ("teacher-pc:5556", "teacher-pc:5555")),
        ("teacher-pc:6000", ("teacher-pc:6001", "teacher-pc:6000")),
        ("tcp://10.0.0.7:6000", ("10.0.0.7:6001", "10.0.0.7:6000")),
        ("fe80::1", ("[fe80::1]:5556", "[fe80::1]:5555")),
        ("pc:7001, pc:7000", ("pc:7001", "pc:7000")),
        (("ipc:///tmp/a", "ipc:///tmp/b"), ("ipc:///tmp/a", "ipc:///tmp/b")),
        (["pc:7001", "pc:7000"], ("pc:7001", "pc:7000")),
    ],
)
def test_via_is_the_host_of_a_relay_or_both_its_addresses(
    via: object, addresses: tuple[str, str]
) -> None:
    assert relay_addresses(via) == addresses  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("via", "error"),
    [
        ("teacher-pc:99999", "port"),
        ("teacher-pc:65535", "there is none after 65535"),
        ("ipc:///tmp/relay", "give both addresses"),
        ("", "address"),
        (("a", "b", "c"), "not 3"),
        ((), "not 0"),
    ],
)
def test_an_invalid_via_raises_an_error_that_names_the_problem(via: object, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Chat("alice", via=via)  # type: ignore[arg-type]
