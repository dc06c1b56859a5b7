"""A chat is closed from any thread, within its linger, and its members are notified."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.chats import HEARTBEAT, RecordedNotices, chat, chats, wait_for_member
from tests.helpers.parallel import measured
from tests.helpers.timeouts import (
    EXIT_OVERHEAD,
    TIMEOUT,
    Background,
    interrupt_when_blocked,
    wait_until,
)
from zmqchat_rs import Chat, ClosedError

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython

OPEN_CHAT = """
    import os, sys
    from zmqchat_rs import Chat
    chat = Chat("bob", bind="127.0.0.1:0", peers=sys.argv[1])
    print(*chat.addresses)
    sys.stdin.readline()
"""


@measured
@pytest.mark.parametrize(
    "end", ["", "chat.close()", "del chat", "raise SystemExit(0)", "iter(chat); chat.say('bye')"]
)
def test_a_program_that_exits_sends_the_notice_that_it_leaves(
    start_python: StartPython, end: str
) -> None:
    noticed = RecordedNotices()
    with chat("alice", on_notice=noticed) as alice:
        bob = start_python(OPEN_CHAT + f"    {end}\n", alice.addresses[0])
        alice.connect(bob.line())
        noticed.wait_present("bob")
        bob.send_line("end")
        noticed.wait("go", "bob")
        began = time.monotonic()
        assert bob.finish()[0::2] == (0, "")
        assert time.monotonic() - began < 1.0 + EXIT_OVERHEAD


def test_close_ends_waits_in_all_threads() -> None:
    with chat("alice") as alice:
        waits: list[Background[object]] = [
            Background(alice.recv),
            Background(list, alice),
            Background(alice.wait_for_members),
            Background(alice.wait_for_listeners),
        ]
        for wait in waits:
            wait_until(lambda wait=wait: wait.thread.is_alive())  # type: ignore[misc]
        alice.close()
        for wait in (waits[0], waits[2], waits[3]):
            with pytest.raises(ClosedError, match="this Chat is closed"):
                wait.result()
        assert waits[1].result() == []


def test_calls_on_a_closed_chat_raise_closed_error() -> None:
    with chat("alice") as alice:
        alice.close()
        alice.close()
        assert alice.closed
        uses = [
            lambda: alice.say("x"),
            lambda: alice.me("x"),
            lambda: alice.recv(timeout=0),
            lambda: alice.join("x"),
            alice.leave,
            alice.stats,
            lambda: alice.connect("127.0.0.1:1"),
            lambda: alice.disconnect("127.0.0.1:1"),
            lambda: alice.wait_for_members(timeout=0),
            lambda: alice.wait_for_listeners(timeout=0),
            lambda: alice.peers,
            alice.__enter__,
        ]
        for use in uses:
            with pytest.raises(ClosedError, match="this Chat is closed: make a new Chat"):
                use()
        assert list(alice) == []
        assert (alice.room, alice.members) == ("lobby", [])


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals to one's own process")
def test_ctrl_c_ends_recv_and_the_chat_stays_open() -> None:
    with chats("alice", "bob") as (alice, bob):
        interrupt_when_blocked()

        def wait_here() -> None:
            alice.recv()

        with pytest.raises(KeyboardInterrupt):
            wait_here()
        bob.say("still there?")
        assert alice.recv(timeout=TIMEOUT).text == "still there?"


def test_a_signal_handler_may_close_the_chat_during_recv() -> None:
    with chat("alice") as alice:
        before = signal.signal(signal.SIGUSR1, lambda *_: alice.close())
        try:
            interrupt_when_blocked(signal.SIGUSR1)

            def wait_here() -> None:
                alice.recv()

            with pytest.raises(ClosedError):
                wait_here()
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_a_chat_without_references_is_closed_and_its_threads_end() -> None:
    noticed = RecordedNotices()
    with chat("alice", on_notice=noticed) as alice:
        bob = Chat("bob", bind="127.0.0.1:0", peers=alice.addresses)
        alice.connect(bob.addresses[0])
        noticed.wait_present("bob")
        del bob
        noticed.wait("go", "bob")
        wait_until(lambda: len(threads()) == 2, "bob's threads to end")
    wait_until(lambda: not threads(), "alice's threads to end")


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("zmqchat-chat")]


def test_a_callback_may_close_its_own_chat() -> None:
    opened: list[Chat] = []
    with chat("alice") as alice, chat("bob", on_message=lambda _: opened[0].close()) as bob:
        opened.append(bob)
        bob.connect(alice.addresses[0])
        wait_for_member(bob)
        alice.say("Good night")
        wait_until(lambda: bob.closed, "bob to be closed")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_chat_raises_in_a_forked_child_which_may_open_its_own(run_python: RunPython) -> None:
    finished = run_python("""
        import os, sys, threading
        from zmqchat_rs import Chat, ZmqChatError
        from tests.helpers.timeouts import TIMEOUT

        chat = Chat("alice", bind="127.0.0.1:0")
        # Another thread holds the chat's lock during the fork.
        locked, release = threading.Event(), threading.Event()
        def hold_lock():
            with chat._engine.changed:
                locked.set()
                release.wait()
        holder = threading.Thread(target=hold_lock)
        holder.start()
        locked.wait()
        child = os.fork()
        if child == 0:
            uses = [
                lambda: chat.say("x"), lambda: chat.recv(timeout=1), lambda: list(chat),
                lambda: chat.join("x"), chat.leave, lambda: chat.members, chat.stats, chat.close,
                lambda: chat.peers, lambda: chat.wait_for_listeners(timeout=1),
                lambda: chat.connect("127.0.0.1:1"), lambda: chat.wait_for_members(timeout=1),
            ]
            for number, use in enumerate(uses):
                try:
                    use()
                except ZmqChatError as error:
                    assert "this Chat was made before the fork" in str(error), (number, error)
                else:
                    raise AssertionError(number)
            with Chat("bob", bind="127.0.0.1:0") as bob, Chat("carol", peers=bob.addresses,
                                                             bind="127.0.0.1:0") as carol:
                bob.wait_for_listeners(timeout=TIMEOUT)
                bob.say("from the child")
                assert carol.recv(timeout=TIMEOUT).text == "from the child"
            sys.exit(0)
        release.set()
        holder.join()
        assert os.waitpid(child, 0)[1] == 0
        chat.say("sent after the fork")
        print("sent after the fork")
    """)
    assert finished == (0, "sent after the fork\n", "")


def test_a_closed_chat_sends_no_heartbeats() -> None:
    with chats("alice", "bob", heartbeat=HEARTBEAT) as (alice, bob):
        alice.close()
        wait_until(lambda: bob.members == [], "bob to have no members")
