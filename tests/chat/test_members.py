"""Members of a chat join, leave, are lost, and may share a name."""

from __future__ import annotations

import random
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from tests.helpers.chats import HEARTBEAT, RecordedNotices, chat, chats, texts, wait_for_member
from tests.helpers.stamps import stamp, stamping_publisher
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Message, Subscriber
from zmqchat_rs.chat import members as members_module
from zmqchat_rs.chat.members import Members, Notice
from zmqchat_rs.chat.presence import PresenceTimer
from zmqchat_rs.cli.chat.lost_members import LostMembers

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

CHAT_BOB = """
    import sys
    from zmqchat_rs import Chat
    chat = Chat("bob", bind="127.0.0.1:0", peers=sys.argv[1], heartbeat=float(sys.argv[2]))
    print(*chat.addresses)
    sys.stdin.readline()
"""


def test_a_member_has_a_name_a_room_an_address_and_the_time_it_was_last_seen() -> None:
    with chats("alice", "bob", "carol") as (alice, _, carol):
        carol.join("team1")
        wait_until(lambda: carol.rooms == ["lobby", "team1"])
        alice.join("team1")
        alice.wait_for_members(timeout=TIMEOUT)
        seen = [(one.room, one.name, one.address, one.present) for one in alice.members]
        assert seen == [
            ("lobby", "bob", "127.0.0.1", True),
            ("lobby", "carol", "127.0.0.1", True),
            ("team1", "carol", "127.0.0.1", True),
        ]
        assert alice.members[0].last_seen.tzinfo is not None


def test_a_notice_reports_each_member_that_joins_or_leaves() -> None:
    noticed = RecordedNotices()
    with chat("alice", on_notice=noticed) as alice:
        with chat("bob") as bob:
            alice.connect(bob.addresses[0])
            joined = noticed.wait("come", "bob")
            assert (joined.room, joined.address, str(joined)) == (
                "lobby",
                "127.0.0.1",
                "bob joined lobby",
            )
        assert str(noticed.wait("go", "bob")) == "bob left lobby"
        assert alice.members == []


def test_a_member_that_was_present_before_is_not_reported_as_joined() -> None:
    noticed = RecordedNotices()
    with chat("alice", heartbeat=HEARTBEAT) as alice:
        # After two heartbeats, alice announces her presence and no longer that she joined.
        observed = RecordedNotices()
        with chat(
            "witness", peers=alice.addresses, heartbeat=HEARTBEAT, on_notice=observed
        ) as witness:
            wait_for_member(witness)
            since = witness.members[0].last_seen
            wait_until(
                lambda: (witness.members[0].last_seen - since).total_seconds() > 2 * HEARTBEAT
            )
        with chat("bob", peers=alice.addresses, on_notice=noticed):
            assert str(noticed.wait("here", "alice")) == "alice is in lobby"


def test_a_killed_member_is_lost_and_a_live_one_is_not(start_python: StartPython) -> None:
    noticed = RecordedNotices()
    scaled = {"heartbeat": HEARTBEAT}
    with chat("carol", **scaled) as carol, chat("dave", on_notice=noticed, **scaled) as dave:
        dave.connect(carol.addresses[0])
        bob = start_python(CHAT_BOB, dave.addresses[0], str(HEARTBEAT))
        dave.connect(bob.line())
        noticed.wait_present("bob")
        bob.kill()
        lost = noticed.wait("lost", "bob")
        assert str(lost) == "bob is lost: not responding in lobby"
        assert [one.name for one in dave.members] == ["carol"]
        assert "lost" not in [one.kind for one in noticed.notices if one.name == "carol"]


def test_a_lost_member_is_present_again_after_it_sends(start_python: StartPython) -> None:
    import os
    import signal

    noticed = RecordedNotices()
    with chat("alice", heartbeat=HEARTBEAT, on_notice=noticed) as alice:
        bob = start_python(CHAT_BOB, alice.addresses[0], str(HEARTBEAT))
        alice.connect(bob.line())
        noticed.wait_present("bob")
        os.kill(bob.pid, signal.SIGSTOP)
        noticed.wait("lost", "bob")
        os.kill(bob.pid, signal.SIGCONT)
        noticed.wait("here", "bob")
        assert [one.name for one in alice.members] == ["bob"]


def test_a_slow_callback_does_not_make_members_lost() -> None:
    noticed, go_on, entered = RecordedNotices(), threading.Event(), threading.Event()

    def slow(_: Message) -> None:
        entered.set()
        go_on.wait(TIMEOUT)

    scaled = {"heartbeat": HEARTBEAT}
    bobs = chat("bob", on_notice=noticed, **scaled)
    with chat("alice", on_message=slow, **scaled) as alice, bobs as bob:
        bob.connect(alice.addresses[0])
        alice.connect(bob.addresses[0])
        alice.wait_for_members(timeout=TIMEOUT)
        bob.wait_for_members(timeout=TIMEOUT)
        bob.say("Hello")
        assert entered.wait(TIMEOUT)
        since = bob.members[0].last_seen
        # A member without presence is lost after 3.5 heartbeats.
        wait_until(lambda: (bob.members[0].last_seen - since).total_seconds() > 6 * HEARTBEAT)
        go_on.set()
    assert "lost" not in [one.kind for one in noticed.notices]


def test_members_with_the_same_name_have_different_labels() -> None:
    with chats("alice", "bob", "bob") as (alice, bob, other):
        for one in (bob, other):
            one.say("It is me")
        received = [alice.recv(timeout=TIMEOUT) for _ in range(2)]
        labels = {alice.label(one) for one in received}
        assert labels == {f"bob#{(one.instance or '')[:4]}" for one in received}
        assert len(labels) == 2
        assert {one.label for one in alice.members} == labels
        # A chat that is called bob labels the other bob as well.
        assert bob.label(bob.recv(timeout=TIMEOUT)) in labels


def test_the_label_of_a_unique_name_is_the_name() -> None:
    with chats("alice", "bob") as (alice, bob):
        bob.say("Hello")
        assert alice.label(alice.recv(timeout=TIMEOUT)) == "bob"


def test_a_message_of_an_unknown_kind_is_received() -> None:
    with stamping_publisher() as publisher, chat("alice", peers=publisher.address) as alice:
        publisher.wait()
        for kind in ("poke", None):
            publisher.send_frames(b"lobby:Hello", stamp(0, "lobby", kind=kind))
            received = alice.recv(timeout=TIMEOUT)
            assert (received.text, received.kind) == ("Hello", kind)


@pytest.mark.parametrize("kind", ["come", "here", "go"])
def test_a_message_with_text_is_not_a_presence_message_regardless_of_its_kind(
    capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    noticed = RecordedNotices()
    with stamping_publisher() as publisher, chat(
        "alice", peers=publisher.address, on_notice=noticed
    ) as alice:
        publisher.wait()
        publisher.send(0, topic="lobby", kind=kind)
        received = alice.recv(timeout=TIMEOUT)
        assert (received.text, received.kind) == ("Hello", kind)
        assert [one.present for one in alice.members] == [False]
    with stamping_publisher() as publisher, Subscriber(publisher.address) as sub:
        publisher.wait()
        publisher.send(0, topic="lobby", kind=kind)
        assert sub.listen(count=1, timeout=TIMEOUT, timestamps="none") == 1
    assert noticed.notices == []
    assert capsys.readouterr().out == "lobby alice: Hello\n"


def test_control_characters_in_a_name_are_escaped_in_notices() -> None:
    noticed = RecordedNotices()
    with stamping_publisher() as publisher, chat(
        "alice", peers=publisher.address, on_notice=noticed
    ) as alice:
        publisher.wait()
        name = "publisher\n\x1b[2J"
        publisher.send_frames(b"lobby:", stamp(0, "lobby", kind="come", **{"from": name}))
        assert str(noticed.wait("come", name)) == r"publisher\n\x1b[2J joined lobby"
        assert [one.name for one in alice.members] == [name]


def test_an_unknown_member_that_leaves_is_not_reported() -> None:
    noticed = RecordedNotices()
    with stamping_publisher() as publisher, chat(
        "alice", peers=publisher.address, on_notice=noticed
    ) as alice:
        publisher.wait()
        publisher.send_frames(b"lobby:", stamp(0, "lobby", kind="go"))
        publisher.send_frames(b"lobby:Hello", stamp(1, "lobby"))
        assert texts(alice, 1) == ["Hello"]
    assert noticed.notices == []


# ---- the list of members and the timer, without sockets


def presence(number: int, kind: str = "here") -> Message:
    return Message([b"lobby:", stamp(0, "lobby", id=f"{number:04}", kind=kind)])


def test_the_number_of_members_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "_MOST", 10)
    members = Members("me", 1.0)
    notices = [members.record(presence(number), 0.0) for number in range(100)]
    assert len(members.list()) == sum(one is not None for one in notices) == 10
    assert len(members.sweep(3.6)) == 10
    assert members.list() == []


def test_a_sender_without_presence_is_removed_without_a_notice() -> None:
    members = Members("me", 1.0)
    assert members.record(Message([b"lobby:note: buy milk"], topic="lobby"), 0.0) is None
    assert members.record(Message([b"lobby:two words: x"], topic="lobby"), 0.0) is None
    assert [(one.name, one.present) for one in members.list()] == [("?", False), ("note", False)]
    assert members.count() == 0
    assert members.sweep(59.0) == []
    assert len(members.list()) == 2
    assert members.sweep(61.0) == []
    assert members.list() == []


def test_a_member_is_lost_after_three_and_a_half_heartbeats() -> None:
    members = Members("me", 1.0)
    members.record(presence(1), 0.0)
    assert members.sweep(3.4) == []
    assert [one.kind for one in members.sweep(3.6)] == ["lost"]
    again = members.record(presence(1), 4.0)
    assert again is not None
    assert again.kind == "here"


def test_a_member_sends_presence_each_heartbeat_within_a_quarter() -> None:
    timer = PresenceTimer(5.0, 0.0, chance=random.Random(1))
    pauses, last = [], 0.0
    for _ in range(1000):
        pauses.append(timer.due - last)
        last = timer.due
        timer.sent(last)
    assert 3.75 <= min(pauses) < 3.8
    assert 6.2 < max(pauses) <= 6.25
    assert 4.9 < sum(pauses) / 1000 < 5.1


def test_a_new_member_is_answered_immediately_in_a_room_without_other_members() -> None:
    timer = PresenceTimer(5.0, 0.0)
    timer.schedule_answer(1.0, 0)
    assert timer.due == 1.0
    timer.sent(1.0)
    timer.schedule_answer(1.1, 0)
    assert timer.due == 1.5  # at most once in a tenth of a heartbeat


def test_answers_to_two_hundred_new_members_are_limited() -> None:
    chance = random.Random(2)
    members = [PresenceTimer(5.0, 0.0, chance=chance) for _ in range(200)]
    sent: list[float] = []
    steps = 100
    for step in range(60 * steps):
        now = step / steps
        due = [timer for timer in members if timer.due <= now]
        sent += [now] * len(due)
        for timer in due:
            timer.sent(now)
        # In the first ten seconds, 20 members join each second, and each member answers.
        if now < 10 and step % 5 == 0:
            for timer in members:
                timer.schedule_answer(now, 200)
    crowded = sum(now < 10 for now in sent) / 10
    calm = sum(now >= 20 for now in sent) / 40
    assert 38 < calm < 42  # one message per member and heartbeat
    assert crowded < 2.2 * calm


def test_lost_members_are_named_in_warnings_until_they_are_present_again() -> None:
    lost = LostMembers()

    def record(kind: str, name: str, room: str = "lobby") -> None:
        at = datetime.now(timezone.utc)
        lost.record(Notice(kind, name, f"{name}#1", room, "?", at, None))

    assert lost.to_warn_of("lobby", alone=True) == ""
    record("lost", "bob")
    record("lost", "dave", "team1")
    # With members present, only the first line has the warning. In an empty room, each line has it.
    assert lost.to_warn_of("lobby", alone=False) == "bob#1"
    assert lost.to_warn_of("lobby", alone=False) == ""
    assert lost.to_warn_of("lobby", alone=True) == "bob#1"
    record("lost", "carol")
    assert lost.to_warn_of("lobby", alone=False) == "carol#1"
    assert lost.to_warn_of("lobby", alone=True) == "bob#1 and carol#1"
    record("here", "bob")
    assert lost.to_warn_of("lobby", alone=True) == "carol#1"
    for number in range(200):
        record("lost", str(number))
    assert lost.to_warn_of("lobby", alone=True) == "100#1, 101#1, 102#1 and 97 others"
