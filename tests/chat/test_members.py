"""Who is there: coming, going, being lost, and two of the same name."""

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

CHATS = """
    import sys
    from zmqchat_rs import Chat
    chat = Chat("bob", bind="127.0.0.1:0", peers=sys.argv[1], heartbeat=float(sys.argv[2]))
    print(*chat.addresses)
    sys.stdin.readline()
"""


def test_members_are_known_by_name_room_address_and_when_they_were_heard() -> None:
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
        before = alice.members[0].last_seen
        assert before.tzinfo is not None


def test_who_comes_and_who_goes_is_noticed() -> None:
    noticed = RecordedNotices()
    with chat("alice", on_notice=noticed) as alice:
        with chat("bob") as bob:
            alice.connect(bob.addresses[0])
            came = noticed.wait("come", "bob")
            assert (came.room, came.address, str(came)) == (
                "lobby",
                "127.0.0.1",
                "bob joined lobby",
            )
        assert str(noticed.wait("go", "bob")) == "bob left lobby"
        assert alice.members == []


def test_who_was_there_before_us_has_not_come() -> None:
    noticed = RecordedNotices()
    with chat("alice", heartbeat=HEARTBEAT) as alice:
        # Two heartbeats: she is no newcomer any more.
        seen = RecordedNotices()
        with chat("witness", peers=alice.addresses, heartbeat=HEARTBEAT, on_notice=seen) as witness:
            wait_for_member(witness)
            heard = witness.members[0].last_seen
            wait_until(
                lambda: (witness.members[0].last_seen - heard).total_seconds() > 2 * HEARTBEAT
            )
        with chat("bob", peers=alice.addresses, on_notice=noticed):
            assert str(noticed.wait("here", "alice")) == "alice is in lobby"


def test_who_is_killed_is_lost_and_who_lives_is_not(start_python: StartPython) -> None:
    noticed = RecordedNotices()
    scaled = {"heartbeat": HEARTBEAT}
    with chat("carol", **scaled) as carol, chat("dave", on_notice=noticed, **scaled) as dave:
        dave.connect(carol.addresses[0])
        bob = start_python(CHATS, dave.addresses[0], str(HEARTBEAT))
        dave.connect(bob.line())
        noticed.wait_present("bob")
        bob.kill()
        lost = noticed.wait("lost", "bob")
        assert str(lost) == "bob is lost: not responding in lobby"
        assert [one.name for one in dave.members] == ["carol"]
        assert "lost" not in [one.kind for one in noticed.notices if one.name == "carol"]


def test_who_is_lost_and_speaks_again_is_back(start_python: StartPython) -> None:
    import os
    import signal

    noticed = RecordedNotices()
    with chat("alice", heartbeat=HEARTBEAT, on_notice=noticed) as alice:
        bob = start_python(CHATS, alice.addresses[0], str(HEARTBEAT))
        alice.connect(bob.line())
        noticed.wait_present("bob")
        os.kill(bob.pid, signal.SIGSTOP)
        noticed.wait("lost", "bob")
        os.kill(bob.pid, signal.SIGCONT)
        noticed.wait("here", "bob")
        assert [one.name for one in alice.members] == ["bob"]


def test_a_callback_that_takes_its_time_makes_nobody_lost() -> None:
    noticed, go_on, entered = RecordedNotices(), threading.Event(), threading.Event()

    def slow(_: Message) -> None:
        entered.set()
        go_on.wait(TIMEOUT)

    hears = {"heartbeat": HEARTBEAT}
    bobs = chat("bob", on_notice=noticed, **hears)
    with chat("alice", on_message=slow, **hears) as alice, bobs as bob:
        bob.connect(alice.addresses[0])
        alice.connect(bob.addresses[0])
        alice.wait_for_members(timeout=TIMEOUT)
        bob.wait_for_members(timeout=TIMEOUT)
        bob.say("Hello")
        assert entered.wait(TIMEOUT)
        since = bob.members[0].last_seen
        # Far longer than silence may last.
        wait_until(lambda: (bob.members[0].last_seen - since).total_seconds() > 6 * HEARTBEAT)
        go_on.set()
    assert "lost" not in [one.kind for one in noticed.notices]


def test_two_of_the_same_name_are_told_apart() -> None:
    with chats("alice", "bob", "bob") as (alice, bob, other):
        for one in (bob, other):
            one.say("It is me")
        heard = [alice.recv(timeout=TIMEOUT) for _ in range(2)]
        labels = {alice.label(one) for one in heard}
        assert labels == {f"bob#{(one.instance or '')[:4]}" for one in heard}
        assert len(labels) == 2
        assert {one.label for one in alice.members} == labels
        # Whoever is called bob tells the other one from himself.
        assert bob.label(bob.recv(timeout=TIMEOUT)) in labels


def test_a_name_of_one_s_own_is_shown_as_it_is() -> None:
    with chats("alice", "bob") as (alice, bob):
        bob.say("Hello")
        assert alice.label(alice.recv(timeout=TIMEOUT)) == "bob"


def test_a_kind_that_is_not_known_is_a_message_like_any_other() -> None:
    with stamping_publisher() as stranger, chat("alice", peers=stranger.address) as alice:
        stranger.wait()
        for kind in ("poke", None):
            stranger.send_frames(b"lobby:Hello", stamp(0, "lobby", kind=kind))
            heard = alice.recv(timeout=TIMEOUT)
            assert (heard.text, heard.kind) == ("Hello", kind)


@pytest.mark.parametrize("kind", ["come", "here", "go"])
def test_what_has_text_is_heard_and_no_presence_whatever_its_kind(
    capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    noticed = RecordedNotices()
    with stamping_publisher() as eve, chat("alice", peers=eve.address, on_notice=noticed) as alice:
        eve.wait()
        eve.send(0, topic="lobby", kind=kind)
        heard = alice.recv(timeout=TIMEOUT)
        assert (heard.text, heard.kind) == ("Hello", kind)
        assert [one.present for one in alice.members] == [False]
    with stamping_publisher() as eve, Subscriber(eve.address) as sub:
        eve.wait()
        eve.send(0, topic="lobby", kind=kind)
        assert sub.listen(count=1, timeout=TIMEOUT, timestamps="none") == 1
    assert noticed.notices == []
    assert capsys.readouterr().out == "lobby alice: Hello\n"


def test_nobody_forges_a_line_of_notices() -> None:
    noticed = RecordedNotices()
    with stamping_publisher() as eve, chat("alice", peers=eve.address, on_notice=noticed) as alice:
        eve.wait()
        name = "eve\n\x1b[2J"
        eve.send_frames(b"lobby:", stamp(0, "lobby", kind="come", **{"from": name}))
        assert str(noticed.wait("come", name)) == r"eve\n\x1b[2J joined lobby"
        assert [one.name for one in alice.members] == [name]


def test_a_good_bye_of_somebody_unknown_is_no_news() -> None:
    noticed = RecordedNotices()
    with stamping_publisher() as eve, chat("alice", peers=eve.address, on_notice=noticed) as alice:
        eve.wait()
        eve.send_frames(b"lobby:", stamp(0, "lobby", kind="go"))
        eve.send_frames(b"lobby:Hello", stamp(1, "lobby"))
        assert texts(alice, 1) == ["Hello"]
    assert noticed.notices == []


# ---- the books and the timer, without sockets


def presence(number: int, kind: str = "here") -> Message:
    return Message([b"lobby:", stamp(0, "lobby", id=f"{number:04}", kind=kind)])


def test_strangers_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "_MOST", 10)
    members = Members("me", 1.0)
    notices = [members.record(presence(number), 0.0) for number in range(100)]
    assert len(members.list()) == sum(one is not None for one in notices) == 10
    assert len(members.sweep(3.6)) == 10
    assert members.list() == []


def test_who_has_no_presence_is_forgotten_without_a_word() -> None:
    members = Members("me", 1.0)
    assert members.record(Message([b"lobby:note: buy milk"], topic="lobby"), 0.0) is None
    assert members.record(Message([b"lobby:two words: x"], topic="lobby"), 0.0) is None
    assert [(one.name, one.present) for one in members.list()] == [("?", False), ("note", False)]
    assert members.count() == 0
    assert members.sweep(59.0) == []
    assert len(members.list()) == 2
    assert members.sweep(61.0) == []
    assert members.list() == []


def test_three_silences_are_forgiven_and_a_fourth_is_not() -> None:
    members = Members("me", 1.0)
    members.record(presence(1), 0.0)
    assert members.sweep(3.4) == []
    assert [one.kind for one in members.sweep(3.6)] == ["lost"]
    again = members.record(presence(1), 4.0)
    assert again is not None
    assert again.kind == "here"


def test_a_member_speaks_once_a_heartbeat_give_or_take_a_quarter() -> None:
    timer = PresenceTimer(5.0, 0.0, chance=random.Random(1))
    pauses, last = [], 0.0
    for _ in range(1000):
        pauses.append(timer.due - last)
        last = timer.due
        timer.sent(last)
    assert 3.75 <= min(pauses) < 3.8
    assert 6.2 < max(pauses) <= 6.25
    assert 4.9 < sum(pauses) / 1000 < 5.1


def test_a_newcomer_is_answered_at_once_where_nobody_else_is() -> None:
    timer = PresenceTimer(5.0, 0.0)
    timer.schedule_answer(1.0, 0)
    assert timer.due == 1.0
    timer.sent(1.0)
    timer.schedule_answer(1.1, 0)
    assert timer.due == 1.5  # never twice within a tenth


def test_two_hundred_who_come_at_once_are_answered_within_bounds() -> None:
    chance = random.Random(2)
    members = [PresenceTimer(5.0, 0.0, chance=chance) for _ in range(200)]
    sent: list[float] = []
    steps = 100
    for step in range(60 * steps):
        now = step / steps
        spoke = [timer for timer in members if timer.due <= now]
        sent += [now] * len(spoke)
        for timer in spoke:
            timer.sent(now)
        # In the first ten seconds twenty newcomers a second, whom everybody answers.
        if now < 10 and step % 5 == 0:
            for timer in members:
                timer.schedule_answer(now, 200)
    crowded = sum(now < 10 for now in sent) / 10
    calm = sum(now >= 20 for now in sent) / 40
    assert 38 < calm < 42  # a message a heartbeat of each
    assert crowded < 2.2 * calm


def test_members_that_were_lost_are_named_until_they_return() -> None:
    lost = LostMembers()

    def take(kind: str, name: str, room: str = "lobby") -> None:
        at = datetime.now(timezone.utc)
        lost.record(Notice(kind, name, f"{name}#1", room, "?", at, None))

    assert lost.to_warn_of("lobby", alone=True) == ""
    take("lost", "bob")
    take("lost", "dave", "team1")
    # While others are present, the first line has the warning; in an empty room every line has it.
    assert lost.to_warn_of("lobby", alone=False) == "bob#1"
    assert lost.to_warn_of("lobby", alone=False) == ""
    assert lost.to_warn_of("lobby", alone=True) == "bob#1"
    take("lost", "carol")
    assert lost.to_warn_of("lobby", alone=False) == "carol#1"
    assert lost.to_warn_of("lobby", alone=True) == "bob#1 and carol#1"
    take("here", "bob")
    assert lost.to_warn_of("lobby", alone=True) == "carol#1"
    for number in range(200):
        take("lost", str(number))
    assert lost.to_warn_of("lobby", alone=True) == "100#1, 101#1, 102#1 and 97 others"
