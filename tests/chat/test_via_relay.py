"""Through a relay: nobody but the relay needs an address, and it may come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import pytest
import zmq

from tests.helpers.chats import PROXY, RELAY, RecordedNotices, chat, proxied, texts
from tests.helpers.stamps import stamping_publisher
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Chat
from zmqchat_rs.chat.relay import relay_addresses

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython


def test_who_goes_through_a_relay_hears_all_others_and_not_himself(
    start_python: StartPython,
) -> None:
    via = proxied(start_python)
    with chat("alice", via=via) as alice, chat("bob", via=via) as bob:
        for one in (alice, bob):
            one.wait_for_members(timeout=TIMEOUT)
            assert one.addresses == []
        alice.say("Hello")
        assert texts(bob, 1) == ["Hello"]
        bob.say("Hi")
        # Her own line would have come first.
        assert texts(alice, 1) == ["Hi"]
        assert [one.name for one in alice.members] == ["bob"]


def test_who_comes_late_knows_at_once_who_is_there(start_python: StartPython) -> None:
    via = proxied(start_python)
    noticed = RecordedNotices()
    with chat("alice", via=via) as alice:
        alice.wait_for_listeners(timeout=TIMEOUT)
        with chat("bob", via=via, on_notice=noticed) as bob:
            bob.wait_for_members(timeout=TIMEOUT)
        assert noticed.notices[0].name == "alice"


def test_a_plain_chat_does_not_hear_itself_through_a_relay(start_python: StartPython) -> None:
    via = proxied(start_python)
    with chat("alice", via=via, plain=True) as alice, chat("bob", via=via) as bob:
        alice.wait_for_listeners(timeout=TIMEOUT)
        bob.wait_for_listeners(timeout=TIMEOUT)
        for _ in range(2):
            alice.say("Hello")
            assert texts(bob, 1) == ["alice: Hello"]
        bob.say("Hi")
        assert texts(alice, 1) == ["Hi"]


@pytest.mark.parametrize("make", [RELAY, PROXY], ids=["ours", "libzmq's"])
def test_two_chats_and_a_pyzmq_peer_hear_each_other_and_survive_the_death_of_the_relay(
    start_python: StartPython, free_port: Callable[[], int], make: str
) -> None:
    speak, hear = (f"127.0.0.1:{free_port()}" for _ in range(2))
    relay = start_python(make, speak, hear)
    assert relay.line() == "ready"
    with zmq.Context() as context, context.socket(zmq.PUB) as says, context.socket(
        zmq.SUB
    ) as hears:
        says.linger = hears.linger = 0
        hears.rcvtimeo = int(TIMEOUT * 1000)
        says.connect(f"tcp://{speak}")
        hears.connect(f"tcp://{hear}")
        hears.subscribe("lobby:")
        with chat("alice", via=(speak, hear)) as alice, chat("bob", via=(speak, hear)) as bob:
            everybody_hears_everybody(alice, bob, says, hears)
            relay.kill()
            wait_until(lambda: alice.peers[0].state != "connected", "the relay to be missed")
            wait_until(lambda: not alice._engine.publisher.subscriber_count, "nobody to be told")
            for number in range(5):
                alice.say(f"lost {number}")
            relay = start_python(make, speak, hear)
            assert relay.line() == "ready"
            for one in (alice, bob):
                one.wait_for_listeners(timeout=TIMEOUT)
            wait_until(lambda: bob.peers[0].state == "connected", "bob to hear the relay")
            everybody_hears_everybody(alice, bob, says, hears)
            assert bob.stats().lost >= 5


def test_what_a_relay_did_not_send_back_of_our_own_is_no_loss() -> None:
    with stamping_publisher() as relay, chat("alice", peers=relay.address) as alice:
        relay.wait()
        own = alice.say("Hello").instance
        relay.send(0, 5, topic="lobby", id=own)
        relay.send(0, 2, topic="lobby", id="bob's")
        assert texts(alice, 2) == ["Hello", "Hello"]
        assert alice.stats().lost == 1


def everybody_hears_everybody(
    alice: Chat, bob: Chat, says: zmq.Socket[bytes], hears: zmq.Socket[bytes]
) -> None:
    """Speak until the others answer: connections come back in any order."""

    def reaches(speak: Callable[[str], object], *others: Callable[[], str]) -> None:
        word = f"word {next(words)}"
        for other in others:
            while True:
                speak(word)
                if word in other():
                    break

    words = iter(range(100))
    reaches(alice.say, hearing(bob), plain(hears))
    reaches(bob.say, hearing(alice), plain(hears))
    reaches(lambda word: says.send_string(f"lobby:{word}"), hearing(alice), hearing(bob))


def hearing(one: Chat) -> Callable[[], str]:
    def look() -> str:
        try:
            return one.recv(timeout=0.05).text
        except TimeoutError:
            return ""

    return look


def plain(hears: zmq.Socket[bytes]) -> Callable[[], str]:
    def look() -> str:
        return hears.recv_multipart()[0].decode() if hears.poll(50) else ""

    return look


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
def test_a_relay_is_named_by_its_host_or_by_both_addresses(
    via: object, addresses: tuple[str, str]
) -> None:
    assert relay_addresses(via) == addresses  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("via", "says"),
    [
        ("teacher-pc:99999", "port"),
        ("teacher-pc:65535", "there is none after 65535"),
        ("ipc:///tmp/relay", "give both addresses"),
        ("", "address"),
        (("a", "b", "c"), "not 3"),
        ((), "not 0"),
    ],
)
def test_what_names_no_relay_is_told_what_to_type(via: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Chat("alice", via=via)  # type: ignore[arg-type]
