"""How a chat ends: quietly, in time, from any thread, and with a good-bye."""

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

OPENS = """
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
def test_the_end_of_the_program_is_a_good_bye(start_python: StartPython, end: str) -> None:
    noticed = RecordedNotices()
    with chat("alice", on_notice=noticed) as alice:
        bob = start_python(OPENS + f"    {end}\n", alice.addresses[0])
        alice.connect(bob.line())
        noticed.wait_present("bob")
        bob.send_line("end")
        noticed.wait("go", "bob")
        began = time.monotonic()
        assert bob.finish()[0::2] == (0, "")
        assert time.monotonic() - began < 1.0 + EXIT_OVERHEAD


def test_closing_ends_every_wait_in_every_thread() -> None:
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


def test_what_is_closed_says_so() -> None:
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
def test_ctrl_c_ends_a_wait_and_nothing_else() -> None:
    with chats("alice", "bob") as (alice, bob):
        interrupt_when_blocked()

        def wait_here() -> None:
            alice.recv()

        with pytest.raises(KeyboardInterrupt):
            wait_here()
        bob.say("still there?")
        assert alice.recv(timeout=TIMEOUT).text == "still there?"


def test_a_signal_s_handler_may_close_the_chat_that_waits() -> None:
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


def test_a_chat_that_nobody_holds_is_closed_and_leaves_no_thread() -> None:
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
        wait_until(lambda: bob.closed, "bob to close himself")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
def test_a_forked_child_is_told_so_and_makes_its_own(run_python: RunPython) -> None:
    finished = run_python("""
        import os, sys, threading
        from zmqchat_rs import Chat, ZmqChatError
        from tests.helpers.timeouts import TIMEOUT

        chat = Chat("alice", bind="127.0.0.1:0")
        # As if another thread were inside at the moment of the fork.
        held, go_on = threading.Event(), threading.Event()
        def hold():
            with chat._engine.changed:
                held.set()
                go_on.wait()
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
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
        go_on.set()
        holder.join()
        assert os.waitpid(child, 0)[1] == 0
        chat.say("the parent lives on")
        print("the parent lives on")
    """)
    assert finished == (0, "the parent lives on\n", "")


def test_heartbeats_stop_with_the_chat() -> None:
    with chats("alice", "bob", heartbeat=HEARTBEAT) as (alice, bob):
        alice.close()
        wait_until(lambda: bob.members == [], "bob to forget her")
