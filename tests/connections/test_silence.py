"""Somebody waits and nobody is there: it is told, with the reason."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Coroutine

import pytest
import zmq

from tests.helpers import raw_peers
from tests.helpers.events import RecordedEvents
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Chat, Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

    FreePort = Callable[[], int]


def silence(records: list[logging.LogRecord]) -> list[str]:
    return [one.getMessage() for one in records if one.getMessage().startswith("nobody at")]


def test_silence_is_told_once_an_outage_with_the_reason(
    free_port: FreePort, caplog: pytest.LogCaptureFixture
) -> None:
    address, told = f"127.0.0.1:{free_port()}", RecordedEvents()
    with Subscriber(address, on_event=told) as subscriber:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=4)
        wait_until(lambda: told.kinds() == ["silent"])
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=3.5)
        assert told.kinds() == ["silent"], "once an outage"
        event = told.events[0]
        assert (event.address, event.reason) == (address, "refused")
        assert "zmqchat pub" in event.advice
        assert str(event).startswith(f"nobody at {address}: refused. ")
        with Publisher(address):
            told.wait_for("silent", "connected")
        told.wait_for("silent", "connected", "disconnected")
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=4)
        told.wait_for("silent", "connected", "disconnected", "silent")
        assert time.monotonic() - began > 6
    assert silence(caplog.records) == [str(event), str(told.events[3])]
    assert {one.levelno for one in caplog.records} == {logging.WARNING}


def test_who_is_heard_and_who_does_not_wait_are_left_in_peace(
    pair: Pair, free_port: FreePort, caplog: pytest.LogCaptureFixture
) -> None:
    with Subscriber(f"127.0.0.1:{free_port()}"), pytest.raises(TimeoutError):
        pair.subscriber.recv(timeout=3.5)
    assert caplog.records == []


def test_one_of_several_that_is_not_there_is_told_of_while_another_is_heard(
    publisher: Publisher, free_port: FreePort
) -> None:
    missing, told = f"127.0.0.1:{free_port()}", RecordedEvents()
    with Subscriber([*publisher.addresses, missing], on_event=told) as subscriber:
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        waiting = Background(subscriber.recv)
        told.wait_for("connected", "silent")
        assert (told.events[1].address, told.events[1].reason) == (missing, "refused")
        with Publisher(missing) as other:
            wait_until(lambda: told.kinds()[2:3] == ["connected"])
            other.wait_for_subscribers(timeout=TIMEOUT)
            other.send("Hello")
            assert waiting.result().text == "Hello"


def test_whoever_waits_for_somebody_to_connect_is_told_that_nobody_came() -> None:
    told = RecordedEvents()
    with Subscriber(bind="127.0.0.1:0", on_event=told) as subscriber:
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=4)
        told.wait_for("silent")
    with Publisher("127.0.0.1:0", on_event=told) as publisher:
        with pytest.raises(TimeoutError):
            publisher.wait_for_subscribers(timeout=4)
        told.wait_for("silent", "silent")
    assert [event.address for event in told.events] == [*subscriber.addresses, *publisher.addresses]
    assert {event.reason for event in told.events} == {"nobody came"}
    heard, hears = map(str, told.events)
    assert heard.startswith(f"nobody has connected to {subscriber.addresses[0]}. Have a publisher ")
    assert hears.startswith(f"nobody has connected to {publisher.addresses[0]}. Have a subscriber ")


def test_a_subscriber_that_connects_to_nobody_is_told_so() -> None:
    told = RecordedEvents()
    with Subscriber(topics=["room1"], on_event=told) as subscriber:
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=4)
        told.wait_for("silent")
        assert str(told.events[0]) == (
            "connected to nobody. Call connect with the address of a publisher."
        )


def test_a_chat_to_which_others_may_come_is_left_in_peace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Chat("alice", bind="127.0.0.1:0") as alice, pytest.raises(TimeoutError):
        alice.recv(timeout=4)
    assert caplog.records == []


def test_a_publisher_that_connects_to_one_is_told_what_is_there(publisher: Publisher) -> None:
    told = RecordedEvents()
    with Publisher(connect=publisher.addresses, on_event=told) as lost:
        with pytest.raises(TimeoutError):
            lost.wait_for_subscribers(timeout=4)
        told.wait_for("silent")
        assert told.events[0].reason == "not a subscriber"
        assert "frontend, port 5556" in str(told.events[0])


def test_an_idle_publisher_reports_why_it_is_not_connected(free_port: FreePort) -> None:
    """Nothing waits on a publisher: it reports a missing connection without being used."""
    told = RecordedEvents()
    address = f"127.0.0.1:{free_port()}"
    with Publisher(connect=address, on_event=told):
        told.wait_for("silent")
        assert told.events[0].address == address
        assert told.events[0].reason == "refused"


def test_what_speaks_otherwise_was_not_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        greets = threading.Thread(target=_greet_as_ssh, args=[server], daemon=True)
        greets.start()
        told = RecordedEvents()
        with Subscriber(f"127.0.0.1:{server.getsockname()[1]}", on_event=told) as subscriber:
            with pytest.raises(TimeoutError):
                subscriber.recv(timeout=4)
            told.wait_for("silent")
            assert told.events[0].reason == "not ZeroMQ"
    greets.join(TIMEOUT)


@pytest.mark.parametrize("publishes", [False, True])
def test_a_port_that_accepts_and_hangs_up_is_tried_less_and_less_often(publishes: bool) -> None:  # noqa: FBT001
    accepted: list[float] = []

    def hang_up(_: socket.socket) -> None:
        accepted.append(time.monotonic())

    told = RecordedEvents()
    with raw_peers.server(hang_up) as address, (
        Publisher(connect=address, on_event=told, reconnect_max=1)
        if publishes
        else Subscriber(address, on_event=told, reconnect_max=1)
    ) as tried:
        wait_until(lambda: len(accepted) >= 6, "six attempts")
        first, *_, last = accepted[:6]
        # 0.1 + 0.2 + 0.4 + 0.8 + 1 s; libzmq alone makes one attempt each 0.1 s.
        assert last - first >= 2.4
        assert tried.peers[0].state == "connecting"
        assert tried.peers[0].attempts >= 6
        with contextlib.suppress(TimeoutError):
            if isinstance(tried, Publisher):
                tried.wait_for_subscribers(timeout=4)
            else:
                tried.recv(timeout=4)
        wait_until(lambda: "silent" in told.kinds())
        if not publishes:
            (silent,) = [event for event in told.events if event.kind == "silent"]
            assert silent.reason == "not ZeroMQ"
            assert "port forwarding" in silent.advice


def test_a_publisher_behind_a_port_that_hung_up_is_connected_to(free_port: FreePort) -> None:
    port, accepted = free_port(), 0
    with Subscriber(f"127.0.0.1:{port}", reconnect_max=1) as subscriber:
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(TIMEOUT)
            while accepted < 4:
                server.accept()[0].close()
                accepted += 1
        with Publisher(f"127.0.0.1:{port}") as publisher:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            publisher.send("Hello")
            assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


OLD = raw_peers.SIGNATURE + b"\x01"
NEEDED = "ZeroMQ 4.0 or later is needed"


@pytest.mark.parametrize("publishes", [False, True])
def test_an_old_peer_that_is_connected_to_is_named_as_such(publishes: bool) -> None:  # noqa: FBT001
    told = RecordedEvents()
    kind = b"\x02" if publishes else b"\x01"
    with raw_peers.server(raw_peers.says(OLD + kind + b"\0\0")) as address:
        if publishes:
            with Publisher(connect=address, on_event=told) as publisher:
                with pytest.raises(TimeoutError):
                    publisher.wait_for_subscribers(timeout=4)
                told.wait_for("silent")
        else:
            with Subscriber(address, on_event=told) as subscriber:
                with pytest.raises(TimeoutError):
                    subscriber.recv(timeout=4)
                told.wait_for("silent")
    assert told.events[0].reason == "handshake failed"
    text = f"{address}: handshake failed: the peer speaks ZMTP 2.0; {NEEDED}."
    assert text in str(told.events[0])


def test_an_old_subscriber_that_connects_is_reported_once(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    told = RecordedEvents()
    port = int(publisher.addresses[0].rpartition(":")[2])
    publisher.close()
    with Publisher(f"127.0.0.1:{port}", on_event=told) as bound:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as old:
                old.sendall(OLD + b"\x02\0\0")
                raw_peers.wait_until_closed(old)
        with pytest.raises(TimeoutError):
            bound.wait_for_subscribers(timeout=4)
        told.wait_for("handshake failed")
        # A peer that hangs up by itself is not reported.
        socket.create_connection(("127.0.0.1", port)).close()
        with Subscriber(f"127.0.0.1:{port}"):
            bound.wait_for_subscribers(timeout=TIMEOUT)
    assert (told.events[0].reason, told.kinds().count("handshake failed")) == ("version", 1)
    assert "silent" not in told.kinds()
    text = f"the peer speaks ZMTP 2.0 or older, or is not a subscriber; {NEEDED}"
    assert text in str(told.events[0])
    assert text in caplog.text


def test_a_peer_with_other_security_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    told = RecordedEvents()
    with Publisher("127.0.0.1:0", on_event=told) as bound:
        port = int(str(bound.endpoint).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as encrypted:
            encrypted.sendall(raw_peers.greeting(mechanism=b"CURVE"))
            raw_peers.wait_until_closed(encrypted)
        told.wait_for("handshake failed")
    assert told.events[0].reason == "mechanism"
    wait_until(
        lambda: "another security mechanism (CURVE or PLAIN on one side only)" in caplog.text
    )


def test_a_subscriber_that_wants_curve_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    told = RecordedEvents()
    with Publisher("127.0.0.1:0", on_event=told) as bound, zmq.Context() as context, context.socket(
        zmq.SUB
    ) as encrypted:
        encrypted.linger = 0
        encrypted.curve_publickey, encrypted.curve_secretkey = zmq.curve_keypair()
        encrypted.curve_serverkey = zmq.curve_keypair()[0]
        encrypted.connect(str(bound.endpoint))
        # Whichever side notices first ends the connection.
        with pytest.raises(TimeoutError):
            bound.wait_for_subscribers(timeout=4)
        wait_until(lambda: len(told.events) == 1)
    assert "handshake failed" in (told.events[0].kind, told.events[0].reason)
    assert "handshake failed: the peer" in str(told.events[0])
    wait_until(lambda: "CURVE or PLAIN" in caplog.text)


def _greet_as_ssh(server: socket.socket) -> None:
    server.settimeout(TIMEOUT)
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\0" * 100)


def test_listen_in_a_script_that_configured_nothing_says_it_on_stderr(
    run_python: RunPython, free_port: FreePort
) -> None:
    address = f"127.0.0.1:{free_port()}"
    script = """
import sys
from zmqchat_rs import Subscriber

with Subscriber(sys.argv[1], topics=["room1"]) as sub:
    print(sub.listen(timeout=4))
"""
    finished = run_python(script, address)
    assert (finished.code, finished.stdout) == (0, "0\n")
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"nobody at {address}: refused. ")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at threads in /proc")
@pytest.mark.parametrize(
    ("open_one", "wait", "reason"),
    [
        (lambda: Subscriber(bind="127.0.0.1:0"), lambda one: one.arecv(timeout=4), "came"),
        (lambda: Subscriber(topics=["room1"]), lambda one: one.arecv(timeout=4), "connected"),
        (
            lambda: Publisher("127.0.0.1:0"),
            lambda one: one.await_for_subscribers(timeout=4),
            "came",
        ),
    ],
)
def test_who_waits_in_asyncio_is_told_as_well(
    open_one: Callable[[], Any],
    wait: Callable[[Any], Coroutine[Any, Any, object]],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_one() as one:
        _until_housekeeping_sleeps()
        with pytest.raises(TimeoutError):
            asyncio.run(wait(one))
        wait_until(lambda: caplog.messages)
    words = {"came": "nobody has connected to 127.0.0.1:", "connected": "connected to nobody"}
    (line,) = caplog.messages
    assert line.startswith(words[reason])


def _until_housekeeping_sleeps() -> None:
    """Return once the thread that looks after sockets has nothing to do: it stands still."""
    (status,) = [
        thread / "status"
        for thread in Path("/proc/self/task").iterdir()
        if (thread / "comm").read_text() == "zmqchat-maint\n"
    ]
    looks, before = 0, ""

    def stood_still() -> bool:
        nonlocal looks, before
        now = status.read_text()
        looks, before = (looks + 1 if now == before else 0), now
        return looks >= 60

    wait_until(stood_still, "housekeeping to come to rest")


def test_something_that_takes_no_messages_is_not_called_nobody() -> None:
    context = zmq.Context()
    with context.socket(zmq.PUSH) as push:
        port = push.bind_to_random_port("tcp://127.0.0.1")
        told = RecordedEvents()
        address = f"127.0.0.1:{port}"
        with Publisher(connect=address, on_event=told) as lost:
            with pytest.raises(TimeoutError):
                lost.wait_for_subscribers(timeout=4)
            told.wait_for("silent")
        with Subscriber(address, on_event=told) as deaf:
            with pytest.raises(TimeoutError):
                deaf.recv(timeout=4)
            told.wait_for("silent", "silent")
    context.term()
    sentences = [str(event) for event in told.events]
    assert sentences[0].startswith(f"no subscriber at {address}. A PUSH socket is there")
    assert sentences[1].startswith(f"no publisher at {address}: not a publisher")
