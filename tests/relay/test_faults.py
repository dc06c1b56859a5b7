"""A relay under faults: it is killed, forked, not closed, and receives invalid data."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.hostile_peers import attack, attacks, command, frame
from tests.helpers.parallel import measured
from tests.helpers.raw_peers import handshake, wait_until_closed
from tests.helpers.timeouts import EXIT_OVERHEAD, TIMEOUT, Background, wait_until
from zmqchat_rs import Event, Publisher, Relay, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython

    FreePort = Callable[[], int]

HERE = "127.0.0.1:0"

RELAY = """
import sys
from zmqchat_rs import Relay

relay = Relay(sys.argv[1], backend=sys.argv[2])
print("ready")
sys.stdin.readline()
"""


def relay_here(**options: Any) -> Relay:
    return Relay(HERE, backend=HERE, **{"linger": 0, **options})


def test_peers_reconnect_after_a_relay_is_killed_and_started_again(
    start_python: StartPython, free_port: FreePort
) -> None:
    frontend, backend = (f"127.0.0.1:{free_port()}" for _ in range(2))
    running = start_python(RELAY, frontend, backend)
    assert running.line() == "ready"
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher(connect=frontend, name="ann", linger=0))
        subscriber = stack.enter_context(
            Subscriber(backend, topics=["room1"], reconnect_max=0.2, high_water_mark=0)
        )
        publisher.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
        sent = 0
        received: list[int | None] = []

        def send_until_received(more: int) -> None:
            nonlocal sent
            wanted, deadline = len(received) + more, time.monotonic() + TIMEOUT
            while len(received) < wanted:
                assert time.monotonic() < deadline
                publisher.send("x", topic="room1")
                sent += 1
                with contextlib.suppress(TimeoutError):
                    while True:
                        received.append(subscriber.recv(timeout=0).sequence)

        for _ in range(2):
            send_until_received(100)
            running.kill()
            wait_until(lambda: subscriber.peers[0].state == "reconnecting")
            # No relay runs: these messages are lost.
            for _ in range(50):
                publisher.send("lost", topic="room1")
                sent += 1
            running = start_python(RELAY, frontend, backend)
            assert running.line() == "ready"
        send_until_received(100)
        # Messages under way; a full queue drops the last messages, too.
        ended, deadline = False, time.monotonic() + TIMEOUT
        while not ended:
            assert time.monotonic() < deadline
            publisher.send("the end", topic="room1")
            sent += 1
            with contextlib.suppress(TimeoutError):
                while True:
                    message = subscriber.recv(timeout=0.5)
                    received.append(message.sequence)
                    ended = ended or message.text == "the end"
        assert received == sorted({number for number in received if number is not None})
        stats = subscriber.stats()
        assert stats.lost >= 100
        assert len(received) + stats.lost == sent
        assert stats.duplicates == 0


ENDINGS = {
    "nothing is closed": ("", 0),
    "it is deleted": ("del relay", 0),
    "it is paused": ("relay.pause()", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an exception": ("raise LookupError('mine')", 1),
    "in a module": ("sys.modules['zmqchat_rs'].mine = relay; del relay", 0),
    "at exit": ("atexit.register(lambda: relay.closed)", 0),
    "a daemon thread waits": (
        "threading.Thread(target=relay.wait_for_subscribers, args=(99,), daemon=True).start()",
        0,
    ),
}


@measured
@pytest.mark.parametrize(("ending", "code"), ENDINGS.values(), ids=ENDINGS)
def test_a_program_ends_quickly_and_quietly_with_an_open_relay_under_traffic(
    start_python: StartPython, ending: str, code: int
) -> None:
    running = start_python(
        f"""
        import atexit, sys, threading, time
        from zmqchat_rs import Relay
        from tests.helpers.timeouts import wait_until
        relay = Relay("127.0.0.1:0", backend="127.0.0.1:0", on_event=lambda event: None)
        print(relay.frontend, relay.backend)
        wait_until(lambda: relay.stats().messages > 1_000)
        print(time.monotonic())
        {ending}
        """
    )
    frontend, backend = running.line().split()
    stop = threading.Event()
    with Publisher(connect=frontend, linger=0) as publisher, Subscriber(backend):
        publisher.wait_for_subscribers(timeout=TIMEOUT)

        def flood() -> None:
            while not stop.is_set():
                publisher.send_many(["x"] * 100)

        flooding = Background(flood)
        try:
            done = float(running.line())
            finished = running.finish()
            took = time.monotonic() - done
        finally:
            stop.set()
        flooding.result()
    assert finished.code == code
    assert ("Traceback" in finished.stderr) == (code == 1)
    if code != 1:
        assert finished.stderr == ""
    assert took < 1.0 + EXIT_OVERHEAD


def test_in_a_forked_child_an_inherited_relay_raises_and_the_parent_continues(
    run_python: RunPython,
) -> None:
    pytest.importorskip("fcntl")
    script = """
    import os, sys
    from zmqchat_rs import Publisher, Relay, Subscriber, ZmqChatError

    relay = Relay("127.0.0.1:0", backend="127.0.0.1:0", capture=sys.argv[1])
    publisher = Publisher(connect=relay.frontend)
    subscriber = Subscriber(relay.backend)
    publisher.wait_for_subscribers(timeout=30)
    relay.wait_for_subscribers(timeout=30)
    child = os.fork()
    if child == 0:
        uses = [
            relay.pause, relay.resume, relay.stats, relay.close, relay.wait_connected,
            lambda: relay.topics, lambda: relay.publishers, lambda: relay.subscribers,
            lambda: relay.subscriber_count, lambda: relay.paused, relay.__enter__,
            relay.wait_for_subscribers,
        ]
        for use in uses:
            try:
                use()
            except ZmqChatError as error:
                assert "fork" in str(error), error
            else:
                raise AssertionError(use)
        with Relay("127.0.0.1:0", backend="127.0.0.1:0") as own:
            with Publisher(connect=own.frontend) as mine, Subscriber(own.backend) as subscriber:
                mine.wait_for_subscribers(timeout=30)
                mine.send("from the child")
                assert subscriber.recv_text(timeout=30) == "from the child"
        del relay
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    publisher.send("still here")
    print(subscriber.recv_text(timeout=30))
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert run_python(script, f"{folder}/log") == (0, "still here\n", "")


def port_of(endpoint: str | None) -> int:
    return int(str(endpoint).rpartition(":")[2])


@pytest.mark.parametrize("side", ["frontend", "backend"])
def test_a_relay_forwards_messages_after_noise_and_broken_handshakes(side: str) -> None:
    with relay_here() as relay, Subscriber(str(relay.backend), topics=["good"]) as subscriber:
        for number, pieces in enumerate(attacks(20240229, 600)):
            attack(port_of(getattr(relay, side)), pieces, number)
        wait_until(lambda: relay.subscriber_count == 1, "the invalid peers to be removed")
        with Publisher(connect=str(relay.frontend), linger=0) as publisher:
            publisher.wait_for_subscribers(topic="good", timeout=TIMEOUT)
            # The subscriptions of the invalid peers were removed upstream.
            wait_until(lambda: publisher.topics == {"good": 1})
            publisher.send("still here", topic="good")
            while subscriber.recv(timeout=TIMEOUT).raw != b"good:still here":
                pass


def wait_for_second_peer(relay: Relay, side: str) -> None:
    """Return once a second peer is connected."""
    wait_until(lambda: len(relay.publishers if side == "frontend" else relay.subscribers) == 2)


def test_only_the_peer_that_sends_a_frame_above_the_limit_is_disconnected() -> None:
    events: list[Event] = []
    with relay_here(
        max_message_bytes=10_000, on_event=events.append
    ) as relay, ExitStack() as stack:
        good = stack.enter_context(Publisher(connect=str(relay.frontend), linger=0))
        subscriber = stack.enter_context(Subscriber(str(relay.backend)))
        good.wait_for_subscribers(timeout=TIMEOUT)
        for side, kind, body in (
            ("frontend", b"PUB", frame(b"x" * 10_001)),
            ("backend", b"SUB", command(b"SUBSCRIBE", b"x" * 9_000)),
        ):
            with socket.create_connection(("127.0.0.1", port_of(getattr(relay, side)))) as bad:
                handshake(bad, kind)
                # A peer that is disconnected before its connection was reported causes no event.
                wait_for_second_peer(relay, side)
                bad.sendall(body)
                wait_until_closed(bad)
        wait_until(lambda: any(event.kind == "cut off" for event in events))
        good.send(b"y" * 10_000)
        assert subscriber.recv(timeout=TIMEOUT).data == b"y" * 10_000
        assert relay.stats().messages == 1


def test_an_unsubscription_does_not_end_the_same_subscription_of_another_peer() -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(relay_here())
        publisher = stack.enter_context(Publisher(connect=str(relay.frontend), linger=0))
        subscriber = stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))
        publisher.wait_for_subscribers(topic="a", timeout=TIMEOUT)
        with socket.create_connection(("127.0.0.1", port_of(relay.backend))) as peer:
            handshake(peer, b"SUB")
            peer.sendall(frame(b"\x00a:") + frame(b"\x01b:"))
            wait_until(lambda: publisher.topics == {"a": 1, "b": 1})
        wait_until(lambda: publisher.topics == {"a": 1})
        publisher.send("Hello", topic="a")
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"


def test_messages_that_a_subscriber_sends_are_ignored() -> None:
    with relay_here() as relay, Publisher(connect=str(relay.frontend), linger=0) as publisher:
        with socket.create_connection(("127.0.0.1", port_of(relay.backend))) as peer:
            handshake(peer, b"XSUB")
            peer.sendall(frame(b"a message") + frame(b"\x01b:"))
            wait_until(lambda: publisher.topics == {"b": 1})
        wait_until(lambda: publisher.topics == {})


@pytest.mark.parametrize("topics_cached", [0, 100])
def test_ten_thousand_subscriptions_at_once_reach_the_publisher(topics_cached: int) -> None:
    forwarded = 1 if topics_cached else 10_000
    topics = [f"topic{number}" for number in range(10_000)]
    with ExitStack() as stack:
        relay = stack.enter_context(relay_here(last_value_cache=topics_cached))
        publisher = stack.enter_context(Publisher(connect=str(relay.frontend), linger=0))
        with Subscriber(str(relay.backend), topics=topics) as subscriber:
            wait_until(lambda: len(relay.topics) == 10_000)
            wait_until(lambda: len(publisher.topics) == forwarded)
            for topic in (topics[0], topics[-1]):
                publisher.send("Hello", topic=topic)
                assert subscriber.recv(timeout=TIMEOUT).topic == topic
            # A publisher that connects later receives them, too.
            with Publisher(connect=str(relay.frontend), linger=0) as late:
                wait_until(lambda: len(late.topics) == forwarded)
        wait_until(lambda: not relay.topics)
        wait_until(lambda: len(publisher.topics) == int(topics_cached > 0))


def test_two_hundred_subscribers_receive_each_message_once() -> None:
    with relay_here() as relay, ExitStack() as stack:
        publisher = stack.enter_context(Publisher(connect=str(relay.frontend), name="ann"))
        subscribers = [
            stack.enter_context(Subscriber(str(relay.backend), topics=["room1"]))
            for _ in range(200)
        ]
        relay.wait_for_subscribers(200, topic="room1", timeout=TIMEOUT)
        publisher.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
        publisher.send_many([str(number) for number in range(100)], topic="room1")
        for subscriber in subscribers:
            texts = [subscriber.recv(timeout=TIMEOUT).text for _ in range(100)]
            assert texts == [str(number) for number in range(100)]
            assert (subscriber.stats().lost, subscriber.stats().duplicates) == (0, 0)
        assert relay.stats().messages == 100


def test_an_idle_or_paused_relay_uses_no_cpu() -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(relay_here())
        publisher = stack.enter_context(Publisher(connect=str(relay.frontend), linger=0))
        stack.enter_context(Subscriber(str(relay.backend)))
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        for call in (relay.resume, relay.pause):
            call()
            publisher.send_many(["x"] * 1_000)
            ticks = thread_ticks("zmqchat-relay")
            # The idle time is the subject: a thread that spins uses all of it.
            time.sleep(1)
            assert thread_ticks("zmqchat-relay") - ticks < 20


def thread_ticks(name: str) -> int:
    """Hundredths of a second of the CPU that this process's threads of that name have used."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux's /proc")
    total = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if (task / "comm").read_text().strip() == name:
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
    return total
