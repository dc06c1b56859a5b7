"""Talking: what one says the others hear, in the rooms where they are, and nobody else."""

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


def test_what_one_says_all_others_hear_and_it_does_not_come_back() -> None:
    with chats("alice", "bob", "carol") as (alice, bob, carol):
        said = alice.say("Hello")
        for other in (bob, carol):
            heard = other.recv(timeout=TIMEOUT)
            assert (heard.sender, heard.topic, heard.text) == ("alice", "lobby", "Hello")
            assert heard.frames == said.frames
            assert (heard.instance, heard.kind) == (said.instance, None)
        bob.say("Hi alice")
        # What she said herself would have come first.
        assert texts(alice, 1) == ["Hi alice"]


def test_who_connects_to_himself_hears_no_echo() -> None:
    with chats("alice", "bob") as (alice, bob):
        alice.connect(alice.addresses[0])
        alice.wait_for_listeners(2, timeout=TIMEOUT)
        alice.say("Hello")
        bob.recv(timeout=TIMEOUT)
        bob.say("Hi")
        assert texts(alice, 1) == ["Hi"]
        assert [one.name for one in alice.members] == ["bob"]


def test_what_somebody_does_is_shown_as_a_sentence() -> None:
    with chats("alice", "bob") as (alice, bob):
        alice.me("waves")
        heard = bob.recv(timeout=TIMEOUT)
        assert (heard.kind, heard.text) == ("action", "waves")
        assert heard.render(timestamps="none") == "lobby * alice waves"


def test_iterating_gives_what_others_say_until_somebody_closes_the_chat() -> None:
    with chats("alice", "bob") as (alice, bob):
        for word in ("one", "two", "three"):
            alice.say(word)
        assert [message.text for message in itertools.islice(bob, 3)] == ["one", "two", "three"]
        threading.Timer(0, bob.close).start()
        assert list(bob) == []


def test_a_room_is_heard_from_joining_until_leaving() -> None:
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
        alice.say("nobody hears it")
        alice.say("still there?", room="lobby")
        assert texts(bob, 1) == ["still there?"]


def test_joining_a_room_twice_makes_it_the_current_one() -> None:
    with chat("alice") as alice:
        alice.join("team1")
        alice.join("lobby")
        assert (alice.room, alice.rooms) == ("lobby", ["lobby", "team1"])
        alice.leave("team1")
        assert alice.rooms == ["lobby"]


def test_rooms_where_nobody_is_are_errors_that_say_so() -> None:
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


def test_messages_and_notices_come_to_callbacks_in_order() -> None:
    told: list[object] = []
    with chat("alice") as alice:
        hears = {"peers": alice.addresses, "on_message": told.append, "on_notice": told.append}
        with chat("bob", **hears) as bob:
            wait_for_member(bob)
            alice.say("Hello")
            alice.close()
            wait_until(lambda: len(told) == 3, "three callbacks")
            assert bob.stats().heard == 1
            with pytest.raises(ZmqChatError, match="passes its messages to on_message"):
                bob.recv(timeout=0)
    come, hello, go = told
    assert str(come) in ("alice joined lobby", "alice is in lobby")
    assert isinstance(hello, Message)
    assert str(go) == "alice left lobby"


def test_a_callback_that_raises_is_logged_and_the_chat_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    def fails(message: Message) -> None:
        heard.append(message.text)
        raise RuntimeError("no")

    with chat("alice") as alice, chat("bob", peers=alice.addresses, on_message=fails) as bob:
        wait_for_member(bob)
        for word in ("one", "two"):
            alice.say(word)
        wait_until(lambda: heard == ["one", "two"], "both")
    assert caplog.text.count("a callback of a chat failed") == 2


def test_of_what_nobody_reads_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_UNREAD", 3)
    with chats("alice", "bob") as (alice, bob):
        for number in range(5):
            alice.say(str(number))
        wait_until(lambda: bob.stats().heard == 5, "all to be heard")
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


def test_a_named_publisher_is_heard_and_is_no_member_that_could_be_lost() -> None:
    noticed = RecordedNotices()
    with Publisher("127.0.0.1:0", name="sensor", linger=0) as publisher:
        hears = {"peers": publisher.addresses, "heartbeat": HEARTBEAT, "on_notice": noticed}
        with chat("alice", **hears) as alice:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            publisher.send("21.5", topic="lobby")
            heard = alice.recv(timeout=TIMEOUT)
            assert alice.label(heard) == "sensor"
            (member,) = alice.members
            assert (member.name, member.address, member.present) == ("sensor", "127.0.0.1", False)
    assert noticed.notices == []


def test_how_it_stands_is_told() -> None:
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


def test_who_does_not_come_in_time_is_told() -> None:
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
def test_a_name_that_nobody_could_read_is_refused(name: str, plain: bool) -> None:  # noqa: FBT001
    with pytest.raises(ValueError, match="name"):
        Chat(name, bind="127.0.0.1:0", plain=plain)


def test_a_bad_argument_leaves_nothing_behind() -> None:
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
    for options, says in wrong:
        with pytest.raises(ValueError, match=says):
            Chat(**{"name": "alice", "bind": "127.0.0.1:0", **options})
    assert not [one for one in threading.enumerate() if one.name.startswith("zmqchat-chat")]


@pytest.mark.parametrize(
    ("options", "says"),
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
def test_an_argument_of_the_wrong_kind_is_told(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Chat(**{"name": "alice", "bind": "127.0.0.1:0", **options})


@pytest.mark.parametrize("heartbeat", [0.05, 86_400])
def test_the_extremes_of_a_heartbeat_work(heartbeat: float) -> None:
    # Presence that came too early for somebody is not repeated within a tenth of a heartbeat.
    with chat("alice", heartbeat=heartbeat) as alice, chat(
        "bob", peers=alice.addresses, heartbeat=heartbeat
    ) as bob:
        alice.wait_for_listeners(timeout=TIMEOUT)
        alice.say("Hello")
        assert texts(bob, 1) == ["Hello"]
        assert [one.name for one in bob.members] == ["alice"]


def test_nobody_waits_for_members_of_a_room_that_was_not_joined() -> None:
    with chat("alice") as alice:
        for wait in (alice.wait_for_members, alice.wait_for_listeners):
            with pytest.raises(ValueError, match="you are not in 'typo': join it first"):
                wait(room="typo", timeout=TIMEOUT)
        alice.join("team1")
        waiting = Background(alice.wait_for_members, room="team1")
        waiting.wait_until_blocked()
        alice.leave("team1")
        alice.say("wakes whoever waits")
        with pytest.raises(ValueError, match="you are not in 'team1'"):
            waiting.result()


def test_a_port_that_is_taken_is_answered_with_what_to_do() -> None:
    with chat("alice") as alice:
        with pytest.raises(ZmqChatError) as caught:
            Chat("bob", bind=alice.addresses[0])
        assert "in use by" in str(caught.value)
        assert 'via="127.0.0.1"' in str(caught.value)


def test_what_could_not_be_said_was_not_said() -> None:
    with chat("alice") as alice:
        alice.say("one")
        with pytest.raises(ValueError, match="max_message_bytes"):
            alice.say("x" * (64 * 1024 * 1024 + 1))
        with pytest.raises(UnicodeEncodeError):
            alice.say("\ud800")
        assert alice.stats().said == 1
