"""Peers that violate the protocol are disconnected; other peers are not affected."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from tests.helpers.hostile_peers import attack, attacks, command, frame
from tests.helpers.raw_peers import handshake, wait_until_closed
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython
    from zmqchat_rs import Event

ATTACKS = 2_000
SEED = int(os.environ.get("ZMQCHAT_TEST_SEED", "20240229"))

#: The attacked objects live in a process of their own, so that a crash does not end the test run.
TARGET = """
    import sys
    from zmqchat_rs import Publisher, Subscriber

    with Publisher("127.0.0.1:0") as publisher, Subscriber(bind="127.0.0.1:0") as subscriber:
        print(publisher.endpoint)
        print(subscriber.endpoint)
        for line in sys.stdin:
            if line == "publish\\n":
                publisher.send("still here", topic="good")
            if line == "receive\\n":
                # Messages of hostile peers may arrive first.
                while subscriber.recv(timeout=30).raw != b"good:still here":
                    pass
                print("received")
            if line == "count\\n":
                print(publisher.subscriber_count, len(subscriber.peers))
            if line == "good\\n":
                print(publisher.topics.get("good", 0))
"""


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


@pytest.mark.parametrize("target", ["publisher", "subscriber"])
def test_a_good_peer_still_works_after_noise_and_broken_handshakes(
    start_python: StartPython, target: str
) -> None:
    # pytest prints the seed of a failed run, with which the run can be repeated.
    print(f"ZMQCHAT_TEST_SEED={SEED}")
    script = start_python(TARGET)
    publisher, subscriber = script.line(), script.line()
    port = port_of(publisher if target == "publisher" else subscriber)
    with Subscriber(publisher, topics=["good"]) as before:
        before.wait_connected(timeout=TIMEOUT)
        for number, pieces in enumerate(attacks(SEED, ATTACKS)):
            attack(port, pieces, number)

        def count() -> list[int]:
            script.send_line("count")
            return [int(word) for word in script.line().split()]

        def good_subscribers() -> int:
            script.send_line("good")
            return int(script.line())

        wait_until(lambda: count() == [1, 0], "the hostile peers to be forgotten")
        with Subscriber(publisher, topics=["good"]) as after:
            # Not the number of subscribers: a hostile peer may be one for a moment.
            wait_until(lambda: good_subscribers() == 2, "the subscription of the new subscriber")
            script.send_line("publish")
            for each in (before, after):
                assert each.recv_text(timeout=TIMEOUT) == "good:still here"
        with Publisher(connect=subscriber) as good:
            good.wait_for_subscribers(1, timeout=TIMEOUT)
            good.send("still here", topic="good")
            script.send_line("receive")
            assert script.line() == "received"


def test_a_subscription_above_8_kib_disconnects_only_its_peer() -> None:
    with Publisher("127.0.0.1:0") as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, topics=["good"]) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            address = ("127.0.0.1", port_of(publisher.endpoint))
            for oversized in (
                frame(b"\x01" + b"x" * 9_000),
                command(b"SUBSCRIBE", b"x" * 9_000),
                frame(b"", size=20_000_000),
            ):
                with socket.create_connection(address) as connection:
                    handshake(connection, b"SUB")
                    connection.sendall(frame(b"\x01small"))
                    publisher.wait_for_subscribers(1, topic="small", timeout=TIMEOUT)
                    connection.sendall(oversized)
                    wait_until_closed(connection)
                wait_until(lambda: publisher.topics == {"good": 1}, "the peer to be disconnected")
            publisher.send("still here", topic="good")
            assert subscriber.recv_text(timeout=TIMEOUT) == "good:still here"
            assert [peer.state for peer in subscriber.peers] == ["connected"]


def test_a_publisher_that_sends_too_large_a_message_is_cut_off_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    with Publisher("127.0.0.1:0") as offender, Publisher("127.0.0.1:0") as good:
        assert offender.endpoint is not None
        assert good.endpoint is not None
        with caplog.at_level(logging.WARNING, "zmqchat_rs"), Subscriber(
            [good.endpoint, offender.endpoint], max_message_bytes=10_000, on_event=events.append
        ) as subscriber:
            for publisher in (offender, good):
                publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            offender.send(b"x" * 10_001)
            wait_until(lambda: any(event.kind == "cut off" for event in events), "the event")
            cut_off = next(event for event in events if event.kind == "cut off")
            assert cut_off.address == f"127.0.0.1:{port_of(offender.endpoint)}"
            assert f"cut off {cut_off.address}" in caplog.text
            good.send("unharmed")
            assert subscriber.recv_text(timeout=TIMEOUT) == "unharmed"
            assert not any(
                event.kind == "disconnected" and event.address.endswith(good.endpoint[-5:])
                for event in events
            )
            # The subscriber reconnects to the publisher that it cut off.
            wait_until(lambda: offender.subscriber_count == 1, "the reconnect")
            offender.send(b"x" * 10_000)
            assert len(subscriber.recv_bytes(timeout=TIMEOUT)) == 10_000


def test_a_bound_subscriber_cuts_off_and_reports_a_peer_that_sends_too_large_a_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    with caplog.at_level(logging.WARNING, "zmqchat_rs"), Subscriber(
        bind="127.0.0.1:0", max_message_bytes=10_000, on_event=events.append
    ) as subscriber:
        assert subscriber.endpoint is not None
        with Publisher(connect=subscriber.endpoint) as good, socket.create_connection(
            ("127.0.0.1", port_of(subscriber.endpoint))
        ) as connection:
            good.wait_for_subscribers(1, timeout=TIMEOUT)
            handshake(connection, b"PUB")
            connection.sendall(frame(b"Hello"))
            assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"
            offender = ":".join(map(str, connection.getsockname()))
            connection.sendall(frame(b"x" * 10_001))
            wait_until_closed(connection)
            good.send("unharmed")
            assert subscriber.recv_text(timeout=TIMEOUT) == "unharmed"
        # A peer that merely disconnects is not reported as cut off.
        wait_until(
            lambda: sum(event.kind == "disconnected" for event in events) == 2,
            "both peers to be disconnected",
        )
        assert [event.address for event in events if event.kind == "cut off"] == [offender]
        wait_until(lambda: f"cut off {offender}" in caplog.text, "the log line")


@pytest.mark.skipif(os.name == "nt", reason="Windows does not report why a connection ended")
def test_a_publisher_that_resets_its_connection_is_not_reported_as_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    with caplog.at_level(logging.WARNING, "zmqchat_rs"), Subscriber(
        bind="127.0.0.1:0", high_water_mark=10, on_event=events.append
    ) as subscriber:
        assert subscriber.endpoint is not None
        with socket.create_connection(("127.0.0.1", port_of(subscriber.endpoint))) as connection:
            handshake(connection, b"PUB")
            connection.settimeout(1)
            # Send valid frames until the queue and the network buffers are full.
            with contextlib.suppress(socket.timeout):
                while True:
                    connection.sendall(frame(b"x" * 200) * 1_000)
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        # libzmq detects the reset when it reads the connection again.
        disconnected = Background(
            wait_until, lambda: any(event.kind == "disconnected" for event in events)
        )
        while disconnected.thread.is_alive():
            with contextlib.suppress(TimeoutError):
                subscriber.recv(timeout=0.1)
        disconnected.result()
    assert "cut off" not in {event.kind for event in events}
    assert "cut off" not in caplog.text


def test_hostile_peers_do_not_interrupt_a_stream_of_messages() -> None:
    with Publisher("127.0.0.1:0", on_full="block") as publisher:
        assert publisher.endpoint is not None
        port = port_of(publisher.endpoint)
        with Subscriber(publisher.endpoint, topics=["good"]) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)

            def run_attacks() -> None:
                for number, pieces in enumerate(attacks(SEED + 1, 300)):
                    attack(port, pieces, number)

            attacking = Background(run_attacks)
            sent = 0
            while not attacking.done or sent < 1_000:
                publisher.send(str(sent), topic="good")
                assert subscriber.recv(timeout=TIMEOUT).text == str(sent)
                sent += 1
            attacking.result()


#: Unmodified libzmq takes this request for a greeting of ZMTP 1.0.
REQUEST = b"GET / HTTP/1.1\r\nHost: " + b"x" * 80 + b"\r\n\r\n"

#: Closes a publisher and a subscriber 100 times while peers send them HTTP requests.
CLOSES = f"""
    import socket
    from zmqchat_rs import Publisher, Subscriber

    for _ in range(100):
        with Publisher("127.0.0.1:0") as publisher, Subscriber(bind="127.0.0.1:0") as subscriber:
            clients = []
            for address in 5 * (publisher.addresses + subscriber.addresses):
                host, _, port = address.rpartition(":")
                clients.append(socket.create_connection((host, int(port))))
            for client in clients:
                client.sendall({REQUEST!r})
        for client in clients:
            client.close()
    print("closed")
"""


def test_an_http_request_during_a_close_has_no_effect(run_python: RunPython) -> None:
    finished = run_python(CLOSES)
    assert (finished.code, finished.stdout) == (0, "closed\n"), finished


def test_a_peer_that_sends_http_is_disconnected_and_not_counted() -> None:
    with Publisher("127.0.0.1:0") as publisher:
        port = port_of(publisher.endpoint or "")
        with socket.create_connection(("127.0.0.1", port)) as browser:
            browser.settimeout(TIMEOUT)
            browser.sendall(REQUEST)
            wait_until_closed(browser)
        assert publisher.subscriber_count == 0
