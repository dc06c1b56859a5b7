"""Lines are delivered to the other members of a room, and to no other chat."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from tests.helpers.chats import HEARTBEAT, RecordedNotices, chat, chats, texts, wait_for_member
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import (
    Chat,
    ClosedError,
    Message,
    Publisher,
    Subscriber,
    ZmqChatError,
)
from zmqchat_rs.chat import engine


def test_a_line_is_delivered_to_all_other_members_and_not_to_its_sender() -> None:
    with chats("alice", "bob", "carol") as (alice, bob, carol):
        sent = alice.say("Hello")
        for other in (bob, carol):
            received = other.recv(timeout=TIMEOUT)
            assert (received.sender, received.topic, received.text) == ("alice", "lobby", "Hello")
            assert received.frames == sent.frames
            assert (received.instance, received.kind) == (sent.instance, None)
        bob.say("Hi alice")
        # An echo of "Hello" would have arrived first.
        assert texts(alice, 1) == ["Hi alice"]


def test_a_chat_that_connects_to_itself_receives_no_echo() -> None:
    with chats("alice", "bob") as (alice, bob):
        alice.connect(alice.addresses[0])
        alice.wait_for_listeners(2, timeout=TIMEOUT)
        alice.say("Hello")
        bob.recv(timeout=TIMEOUT)
        bob.say("Hi")
        assert texts(alice, 1) == ["Hi"]
        assert [one.name for one in alice.members] == ["bob"]


def test_an_action_is_rendered_as_a_sentence() -> None:
    with chats("alice", "bob") as (alice, bob):
        alice.me("waves")
        received = bob.recv(timeout=TIMEOUT)
        assert (received.kind, received.text) == ("action", "waves")
        assert received.render(timestamps="none") == "lobby * alice waves"


def test_iteration_yields_messages_until_another_thread_closes_the_chat() -> None:
    with chats("alice", "bob") as (alice, bob):
        for word in ("one", "two", "three"):
            alice.say(word)
        assert [message.text for message in itertools.islice(bob, 3)] == ["one", "two", "three"]
        threading.Timer(0, bob.close).start()
        assert list(bob) == []


def test_a_chat_receives_the_lines_of_a_room_from_join_until_leave() -> None:
    with chats("alice", "bob") as (alice, bob):
        for one in (alice, bob):
            one.join("team1")
            assert (one.room, one.rooms) == ("team1", ["lobby", "team1"])
        for one in (alice, bob):
            one.wait_for_members(timeout=TIMEOUT)
        alice.say("to the team")
        alice.say("to all", room="lobby")
        assert [(one.topic, one.text) for one in itertools.islice(bob, 2)] == [
            ("team1", "to the team"),
            ("lobby", "to all"),
        ]
        bob.leave()
        assert (bob.room, bob.rooms) == ("lobby", ["lobby"])
        wait_until(
            lambda: not [one for one in alice.members if one.room == "team1"], "bob to leave"
        )
        alice.say("not delivered")
        alice.say("still there?", room="lobby")
        assert texts(bob, 1) == ["still there?"]


def test_joining_a_room_twice_makes_it_the_current_one() -> None:
    with chat("alice") as alice:
        alice.join("team1")
        alice.join("lobby")
        assert (alice.room, alice.rooms) == ("lobby", ["lobby", "team1"])
        alice.leave("team1")
        assert alice.rooms == ["lobby"]


def test_invalid_rooms_raise_errors_that_name_the_remedy() -> None:
    with chat("alice") as alice:
        with pytest.raises(ValueError, match="you are not in 'team1': join it first"):
            alice.say("Hello", room="team1")
        with pytest.raises(ValueError, match="you are not in 'team1'"):
            alice.leave("team1")
        with pytest.raises(ValueError, match="'lobby' is your only room: join another one first"):
            alice.leave()
        with pytest.raises(ValueError, match="topic"):
            alice.join("team 1")
        for number in range(63):
            alice.join(f"room{number}")
        with pytest.raises(ValueError, match="a chat has at most 64 rooms"):
            alice.join("one more")


def test_callbacks_receive_messages_and_notices_in_order() -> None:
    received: list[object] = []
    with chat("alice") as alice:
        options = {
            "peers": alice.addresses,
            "on_message": received.append,
            "on_notice": received.append,
        }
        with chat("bob", **options) as bob:
            wait_for_member(bob)
            alice.say("Hello")
            alice.close()
            wait_until(lambda: len(received) == 3, "three callbacks")
            assert bob.stats().heard == 1
            with pytest.raises(ZmqChatError, match="passes its messages to on_message"):
                bob.recv(timeout=0)
    joined, hello, left = received
    assert str(joined) in ("alice joined lobby", "alice is in lobby")
    assert isinstance(hello, Message)
    assert str(left) == "alice left lobby"


def test_an_exception_in_a_callback_is_logged_and_the_chat_stays_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    received: list[str] = []

    def fails(message: Message) -> None:
        received.append(message.text)
        raise RuntimeError("no")

    with chat("alice") as alice, chat("bob", peers=alice.addresses, on_message=fails) as bob:
        wait_for_member(bob)
        for word in ("one", "two"):
            alice.say(word)
        wait_until(lambda: received == ["one", "two"], "both lines")
    assert caplog.text.count("a callback of a chat failed") == 2


def test_a_full_queue_drops_the_oldest_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_UNREAD", 3)
    with chats("alice", "bob") as (alice, bob):
        for number in range(5):
            alice.say(str(number))
        wait_until(lambda: bob.stats().heard == 5, "bob to receive all lines")
        assert texts(bob, 3) == ["2", "3", "4"]
        stats = bob.stats()
        assert (stats.said, stats.heard, stats.lost, stats.dropped) == (0, 5, 0, 2)
        assert alice.stats().said == 5


def test_presence_is_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with chat("alice", heartbeat=HEARTBEAT) as alice, Subscriber(alice.addresses[0]) as raw:
        alice.wait_for_listeners(timeout=TIMEOUT)
        for number in range(3):
            alice.say(str(number))
            seen = [raw.recv(timeout=TIMEOUT)]
            while seen[-1].kind != "here":
                seen.append(raw.recv(timeout=TIMEOUT))
        first = raw.recv(timeout=TIMEOUT)
        assert (first.kind, first.text, first.topic) == ("here", "", "lobby")
        assert raw.stats().lost == 0
        alice.say("shown")
        assert raw.listen(count=1, timeout=TIMEOUT, timestamps="none") == 1
    assert capsys.readouterr().out == "lobby alice: shown\n"


def test_messages_of_a_named_publisher_are_received_and_it_is_never_reported_as_lost() -> None:
    noticed = RecordedNotices()
    with Publisher("127.0.0.1:0", name="sensor", linger=0) as publisher:
        options = {"peers": publisher.addresses, "heartbeat": HEARTBEAT, "on_notice": noticed}
        with chat("alice", **options) as alice:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            publisher.send("21.5", topic="lobby")
            received = alice.recv(timeout=TIMEOUT)
            assert alice.label(received) == "sensor"
            (member,) = alice.members
            assert (member.name, member.address, member.present) == ("sensor", "127.0.0.1", False)
    assert noticed.notices == []


def test_a_chat_has_a_name_an_endpoint_peers_and_a_repr() -> None:
    with chats("alice", "bob") as (alice, bob):
        assert alice.name == "alice"
        assert alice.endpoint == f"tcp://{alice.addresses[0]}"
        assert [peer.address for peer in alice.peers] == bob.addresses
        assert repr(alice) == "<Chat alice in lobby, 1 present>"
        alice.disconnect(bob.addresses[0])
        assert alice.peers == []
        with pytest.raises(ValueError, match="not connected"):
            alice.disconnect(bob.addresses[0])
    assert repr(alice) == "<Chat closed>"


def test_waits_raise_timeout_error_and_refuse_invalid_timeouts() -> None:
    with chat("alice") as alice:
        for wait in (alice.wait_for_members, alice.wait_for_listeners, alice.recv):
            with pytest.raises(TimeoutError):
                wait(timeout=0)
            with pytest.raises(ValueError, match="timeout"):
                wait(timeout=-1)
            with pytest.raises(TypeError, match="number"):
                wait(timeout="x")  # type: ignore[arg-type]
        one_day = Background(alice.recv, timeout=10**400)
        one_day.wait_until_blocked()
        alice.close()
        with pytest.raises(ClosedError):
            one_day.result()
    with chat("alice") as alice:
        assert alice.wait_for_members(0) == 0


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J", "x" * 256])
def test_an_unprintable_or_too_long_name_is_refused(name: str, plain: bool) -> None:  # noqa: FBT001
    with pytest.raises(ValueError, match="name"):
        Chat(name, bind="127.0.0.1:0", plain=plain)


def test_an_invalid_argument_raises_and_leaves_no_thread() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"room": "a b"}, "topic"),
        ({"peers": "lab-pc:99999"}, "port"),
        ({"heartbeat": 0}, "heartbeat"),
        ({"heartbeat": float("nan")}, "heartbeat"),
        ({"heartbeat": 0.049}, "from 0.05 to 86,400"),
        ({"heartbeat": 86_401}, "from 0.05 to 86,400"),
        ({"heartbeat": 10**400}, "from 0.05 to 86,400"),
        ({"name": "a:b", "plain": True}, "choose one without ':'"),
    ]
    for options, error in wrong:
        with pytest.raises(ValueError, match=error):
            Chat(**{"name": "alice", "bind": "127.0.0.1:0", **options})
    assert not [one for one in threading.enumerate() if one.name.startswith("zmqchat-chat")]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"heartbeat": "5"}, "heartbeat is a number, not str"),
        ({"heartbeat": True}, "heartbeat is a number of seconds, not bool"),
        ({"on_message": 5}, "on_message is a function that takes a Message, or None"),
        ({"on_notice": 5}, "on_notice is a function that takes a Notice, or None"),
        ({"on_event": 5}, "on_event is a function that takes an Event, or None"),
        ({"name": 5}, "name is a str, not int"),
        ({"name": 5, "plain": True}, "name is a str, not int"),
    ],
)
def test_an_argument_of_the_wrong_type_raises_type_error(
    options: dict[str, Any], error: str
) -> None:
    with pytest.raises(TypeError, match=error):
        Chat(**{"name": "alice", "bind": "127.0.0.1:0", **options})


@pytest.mark.parametrize("heartbeat", [0.05, 86_400])
def test_chats_work_with_the_shortest_and_the_longest_heartbeat(heartbeat: float) -> None:
    # Presence that a peer missed is not sent again within a tenth of a heartbeat.
    with chat("alice", heartbeat=heartbeat) as alice, chat(
        "bob", peers=alice.addresses, heartbeat=heartbeat
    ) as bob:
        alice.wait_for_listeners(timeout=TIMEOUT)
        alice.say("Hello")
        assert texts(bob, 1) == ["Hello"]
        assert [one.name for one in bob.members] == ["alice"]


def test_waiting_for_members_of_a_room_that_is_not_joined_raises() -> None:
    with chat("alice") as alice:
        for wait in (alice.wait_for_members, alice.wait_for_listeners):
            with pytest.raises(ValueError, match="you are not in 'typo': join it first"):
                wait(room="typo", timeout=TIMEOUT)
        alice.join("team1")
        waiting = Background(alice.wait_for_members, room="team1")
        waiting.wait_until_blocked()
        alice.leave("team1")
        alice.say("wakes the waiting thread")
        with pytest.raises(ValueError, match="you are not in 'team1'"):
            waiting.result()


def test_the_error_for_a_port_in_use_names_the_program_and_the_remedy() -> None:
    with chat("alice") as alice:
        with pytest.raises(ZmqChatError) as caught:
            Chat("bob", bind=alice.addresses[0])
        assert "in use by" in str(caught.value)
        assert 'via="127.0.0.1"' in str(caught.value)


def test_a_line_that_cannot_be_sent_is_not_counted() -> None:
    with chat("alice") as alice:
        alice.say("one")
        with pytest.raises(ValueError, match="max_message_bytes"):
            alice.say("x" * (64 * 1024 * 1024 + 1))
        with pytest.raises(UnicodeEncodeError):
            alice.say("\ud800")
        assert alice.stats().said == 1
