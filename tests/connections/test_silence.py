"""A missing peer is reported: once an outage, with the reason."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Coroutine

import pytest
import zmq

from tests.helpers import commands, raw_peers
from tests.helpers.commands import SHORT_SILENCE
from tests.helpers.events import RecordedEvents
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Chat, ClosedError, Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

    FreePort = Callable[[], int]

short_silence = pytest.mark.usefixtures("short_silence")


def silence_warnings(records: list[logging.LogRecord]) -> list[str]:
    return [one.getMessage() for one in records if one.getMessage().startswith("cannot connect to")]


@pytest.mark.parametrize(
    ("open_one", "wait"),
    [
        (Subscriber, lambda one: one.recv()),
        (
            lambda address, **options: Publisher(connect=address, **options),
            lambda one: one.wait_for_subscribers(),
        ),
        (lambda address, **options: Publisher(connect=address, **options), None),
        (
            Subscriber,
            lambda one: asyncio.run(one.arecv()),
        ),
    ],
    ids=["subscriber", "publisher", "idle publisher", "asyncio"],
)
def test_a_missing_peer_is_reported_after_three_seconds(
    open_one: Callable[..., Any], wait: Callable[[Any], object] | None, free_port: FreePort
) -> None:
    events, began = RecordedEvents(), time.monotonic()
    with open_one(f"127.0.0.1:{free_port()}", on_event=events) as one:
        waiting = Background(wait, one) if wait is not None else None
        events.wait_for("silent")
        assert time.monotonic() - began >= 3
    if waiting is not None:
        with pytest.raises(ClosedError):
            waiting.result()


@short_silence
def test_a_missing_peer_is_reported_once_an_outage_with_the_reason(
    free_port: FreePort, caplog: pytest.LogCaptureFixture
) -> None:
    address, events = f"127.0.0.1:{free_port()}", RecordedEvents()
    with Subscriber(address, on_event=events) as subscriber:
        Background(subscriber.recv)
        events.wait_for("silent")
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=4 * SHORT_SILENCE)
        assert events.kinds() == ["silent"], "once an outage"
        event = events.events[0]
        assert (event.address, event.reason) == (address, "refused")
        assert "zmqchat pub" in event.advice
        assert str(event).startswith(f"cannot connect to {address}: refused. ")
        with Publisher(address):
            events.wait_for("silent", "connected")
        events.wait_for("silent", "connected", "disconnected", "silent")
    assert silence_warnings(caplog.records) == [str(event), str(events.events[3])]
    assert {one.levelno for one in caplog.records} == {logging.WARNING}


@short_silence
def test_a_missing_peer_of_an_idle_subscriber_is_not_reported(
    pair: Pair, free_port: FreePort, caplog: pytest.LogCaptureFixture
) -> None:
    with Subscriber(f"127.0.0.1:{free_port()}"), pytest.raises(TimeoutError):
        pair.subscriber.recv(timeout=4 * SHORT_SILENCE)
    assert caplog.records == []


@short_silence
def test_one_missing_publisher_is_reported_while_another_is_connected(
    publisher: Publisher, free_port: FreePort
) -> None:
    missing, events = f"127.0.0.1:{free_port()}", RecordedEvents()
    with Subscriber([*publisher.addresses, missing], on_event=events) as subscriber:
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        waiting = Background(subscriber.recv)
        events.wait_for("connected", "silent")
        assert (events.events[1].address, events.events[1].reason) == (missing, "refused")
        with Publisher(missing) as other:
            wait_until(lambda: events.kinds()[2:3] == ["connected"])
            other.wait_for_subscribers(timeout=TIMEOUT)
            other.send("Hello")
            assert waiting.result().text == "Hello"


@short_silence
def test_a_bound_object_without_a_peer_reports_that_no_peer_has_connected() -> None:
    events = RecordedEvents()
    with Subscriber(bind="127.0.0.1:0", on_event=events) as subscriber:
        Background(subscriber.recv)
        events.wait_for("silent")
    with Publisher("127.0.0.1:0", on_event=events) as publisher:
        Background(publisher.wait_for_subscribers)
        events.wait_for("silent", "silent")
    addresses = [*subscriber.addresses, *publisher.addresses]
    assert [event.address for event in events.events] == addresses
    assert {event.reason for event in events.events} == {"no peer connected"}
    of_subscriber, of_publisher = map(str, events.events)
    assert of_subscriber.startswith(
        f"no peer has connected to {subscriber.addresses[0]}. Have a publisher "
    )
    assert of_publisher.startswith(
        f"no peer has connected to {publisher.addresses[0]}. Have a subscriber "
    )


@short_silence
def test_a_subscriber_without_addresses_reports_that_it_has_none() -> None:
    events = RecordedEvents()
    with Subscriber(topics=["room1"], on_event=events) as subscriber:
        Background(subscriber.recv)
        events.wait_for("silent")
        assert str(events.events[0]) == (
            "no address to connect to. Call connect with the address of a publisher."
        )


@short_silence
def test_a_bound_chat_without_peers_reports_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Chat("alice", bind="127.0.0.1:0") as alice, pytest.raises(TimeoutError):
        alice.recv(timeout=4 * SHORT_SILENCE)
    assert caplog.records == []


@short_silence
def test_a_publisher_that_connects_to_a_publisher_reports_that(publisher: Publisher) -> None:
    events = RecordedEvents()
    with Publisher(connect=publisher.addresses, on_event=events) as wrong:
        Background(wrong.wait_for_subscribers)
        events.wait_for("silent")
        assert events.events[0].reason == "not a subscriber"
        assert "frontend, port 5556" in str(events.events[0])


@short_silence
def test_an_idle_publisher_reports_why_it_is_not_connected(free_port: FreePort) -> None:
    """A publisher reports a missing connection although no call waits on it."""
    events = RecordedEvents()
    address = f"127.0.0.1:{free_port()}"
    with Publisher(connect=address, on_event=events):
        events.wait_for("silent")
        assert events.events[0].address == address
        assert events.events[0].reason == "refused"


@short_silence
def test_a_server_of_another_protocol_is_reported_as_not_zeromq() -> None:
    ssh = raw_peers.sends(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\0" * 100)
    events = RecordedEvents()
    with raw_peers.tcp_server(ssh) as address, Subscriber(address, on_event=events) as subscriber:
        Background(subscriber.recv)
        events.wait_for("silent")
        assert events.events[0].reason == "not ZeroMQ"


@pytest.mark.parametrize("publishes", [False, True])
def test_the_pause_between_attempts_grows_at_a_port_that_disconnects(publishes: bool) -> None:  # noqa: FBT001
    accepted: list[float] = []

    def close_at_once(_: socket.socket) -> None:
        accepted.append(time.monotonic())

    events = RecordedEvents()
    with raw_peers.tcp_server(close_at_once) as address, (
        Publisher(connect=address, on_event=events, reconnect_max=1)
        if publishes
        else Subscriber(address, on_event=events, reconnect_max=1)
    ) as tried:
        wait_until(lambda: len(accepted) >= 6, "six attempts")
        first, *_, last = accepted[:6]
        # 0.1 + 0.2 + 0.4 + 0.8 + 1 s; libzmq alone makes one attempt each 0.1 s.
        assert last - first >= 2.4
        assert tried.peers[0].state == "connecting"
        assert tried.peers[0].attempts >= 6
        Background(tried.wait_for_subscribers if isinstance(tried, Publisher) else tried.recv)
        wait_until(lambda: "silent" in events.kinds())
        if not publishes:
            (silent,) = [event for event in events.events if event.kind == "silent"]
            assert silent.reason == "not ZeroMQ"
            assert "the port is forwarded" in silent.advice


def test_a_subscriber_connects_to_a_publisher_at_a_port_that_disconnected_before(
    free_port: FreePort,
) -> None:
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


@short_silence
@pytest.mark.parametrize("publishes", [False, True])
def test_an_old_peer_is_reported_with_its_version(publishes: bool) -> None:  # noqa: FBT001
    events = RecordedEvents()
    kind = b"\x02" if publishes else b"\x01"
    with raw_peers.tcp_server(raw_peers.sends(OLD + kind + b"\0\0")) as address:
        if publishes:
            with Publisher(connect=address, on_event=events) as publisher:
                Background(publisher.wait_for_subscribers)
                events.wait_for("silent")
        else:
            with Subscriber(address, on_event=events) as subscriber:
                Background(subscriber.recv)
                events.wait_for("silent")
    assert events.events[0].reason == "handshake failed"
    text = f"{address}: handshake failed: the peer uses ZMTP 2.0; {NEEDED}."
    assert text in str(events.events[0])


@short_silence
def test_an_old_subscriber_that_connects_is_reported_once(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    events = RecordedEvents()
    port = int(publisher.addresses[0].rpartition(":")[2])
    publisher.close()
    with Publisher(f"127.0.0.1:{port}", on_event=events) as bound:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as old:
                old.sendall(OLD + b"\x02\0\0")
                raw_peers.wait_until_closed(old)
        with pytest.raises(TimeoutError):
            bound.wait_for_subscribers(timeout=4 * SHORT_SILENCE)
        events.wait_for("handshake failed")
        # A peer that disconnects by itself is not reported.
        socket.create_connection(("127.0.0.1", port)).close()
        with Subscriber(f"127.0.0.1:{port}"):
            bound.wait_for_subscribers(timeout=TIMEOUT)
    assert (events.events[0].reason, events.kinds().count("handshake failed")) == ("version", 1)
    assert "silent" not in events.kinds()
    text = f"the peer uses ZMTP 2.0 or older, or is not a subscriber; {NEEDED}"
    assert text in str(events.events[0])
    assert text in caplog.text


def test_a_peer_with_another_security_mechanism_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = RecordedEvents()
    with Publisher("127.0.0.1:0", on_event=events) as bound:
        port = int(str(bound.endpoint).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as encrypted:
            encrypted.sendall(raw_peers.greeting(mechanism=b"CURVE"))
            raw_peers.wait_until_closed(encrypted)
        events.wait_for("handshake failed")
    assert events.events[0].reason == "mechanism"
    wait_until(
        lambda: "another security mechanism (CURVE or PLAIN on one side only)" in caplog.text
    )


def test_a_subscriber_that_requires_curve_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    events = RecordedEvents()
    with Publisher(
        "127.0.0.1:0", on_event=events
    ) as bound, zmq.Context() as context, context.socket(zmq.SUB) as encrypted:
        encrypted.linger = 0
        encrypted.curve_publickey, encrypted.curve_secretkey = zmq.curve_keypair()
        encrypted.curve_serverkey = zmq.curve_keypair()[0]
        encrypted.connect(str(bound.endpoint))
        Background(bound.wait_for_subscribers)
        # The side that detects the mismatch first closes the connection.
        wait_until(lambda: events.events)
        with commands.short_silence(), pytest.raises(TimeoutError):
            bound.wait_for_subscribers(timeout=4 * SHORT_SILENCE)
        assert len(events.events) == 1
    assert "handshake failed" in (events.events[0].kind, events.events[0].reason)
    assert "handshake failed: the peer" in str(events.events[0])
    wait_until(lambda: "CURVE or PLAIN" in caplog.text)


@short_silence
def test_without_logging_configured_the_report_is_on_stderr(
    run_python: RunPython, free_port: FreePort
) -> None:
    address = f"127.0.0.1:{free_port()}"
    script = """
import sys, threading
from zmqchat_rs import Subscriber, _core

_core._set_silence(float(sys.argv[2]))
reported = threading.Event()
with Subscriber(sys.argv[1], topics=["room1"], on_event=lambda _: reported.set()) as sub:
    threading.Thread(target=lambda: reported.wait() and sub.close()).start()
    print(sub.listen())
"""
    finished = run_python(script, address, str(SHORT_SILENCE))
    assert (finished.code, finished.stdout) == (0, "0\n")
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"cannot connect to {address}: refused. ")


@short_silence
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("open_one", "wait", "reason"),
    [
        (lambda: Subscriber(bind="127.0.0.1:0"), lambda one: one.arecv(), "no peer"),
        (lambda: Subscriber(topics=["room1"]), lambda one: one.arecv(), "no address"),
        (lambda: Publisher("127.0.0.1:0"), lambda one: one.await_for_subscribers(), "no peer"),
    ],
)
def test_a_wait_in_asyncio_reports_a_missing_peer(
    open_one: Callable[[], Any],
    wait: Callable[[Any], Coroutine[Any, Any, object]],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_one() as one:
        _wait_until_maintenance_is_idle()
        Background(asyncio.run, wait(one))
        wait_until(lambda: caplog.messages)
    words = {
        "no peer": "no peer has connected to 127.0.0.1:",
        "no address": "no address to connect to",
    }
    (line,) = caplog.messages
    assert line.startswith(words[reason])


def _wait_until_maintenance_is_idle() -> None:
    """Return once the maintenance thread sleeps until there is something to do."""
    (status,) = [
        thread / "status"
        for thread in Path("/proc/self/task").iterdir()
        if (thread / "comm").read_text() == "zmqchat-maint\n"
    ]
    polls, before = 0, ""

    def is_idle() -> bool:
        nonlocal polls, before
        now = status.read_text()
        polls, before = (polls + 1 if now == before else 0), now
        return polls >= 60

    wait_until(is_idle, "the maintenance thread to be idle")


@short_silence
def test_the_socket_type_of_another_peer_is_named() -> None:
    context = zmq.Context()
    with context.socket(zmq.PUSH) as push:
        port = push.bind_to_random_port("tcp://127.0.0.1")
        events = RecordedEvents()
        address = f"127.0.0.1:{port}"
        with Publisher(connect=address, on_event=events) as publisher:
            Background(publisher.wait_for_subscribers)
            events.wait_for("silent")
        with Subscriber(address, on_event=events) as subscriber:
            Background(subscriber.recv)
            events.wait_for("silent", "silent")
    context.term()
    sentences = [str(event) for event in events.events]
    assert sentences[0].startswith(f"no subscriber at {address}. A PUSH socket is bound there")
    assert sentences[1].startswith(f"no publisher at {address}: not a publisher")
