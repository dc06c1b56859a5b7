"""The connection state of an object: `peers` and `wait_connected`."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import ClosedError, Peer, Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

    FreePort = Callable[[], int]


# ---- peers


def only(peers: list[Peer]) -> Peer:
    (peer,) = peers
    return peer


def test_publisher_and_subscriber_both_list_the_connected_peer(pair: Pair) -> None:
    pair.subscriber.wait_connected(timeout=TIMEOUT)
    theirs, ours = only(pair.subscriber.peers), only(pair.publisher.peers)
    assert theirs.address == pair.publisher.addresses[0]
    assert ours.address.startswith("127.0.0.1:")
    for peer in (theirs, ours):
        assert (peer.state, peer.attempts) == ("connected", 0)
        assert peer.since.tzinfo is not None
        age = datetime.now(timezone.utc) - peer.since
        assert 0 <= age.total_seconds() < TIMEOUT
        assert peer.address in repr(peer)
        assert "connected" in repr(peer)


def test_a_peer_is_an_immutable_snapshot(pair: Pair) -> None:
    before = only(pair.subscriber.peers)
    with pytest.raises(AttributeError):
        before.state = "nowhere"  # type: ignore[misc, assignment]
    pair.publisher.close()
    wait_until(lambda: only(pair.subscriber.peers).state == "reconnecting")
    assert before.state == "connected"


def test_a_missing_publisher_is_connecting_and_attempts_are_counted(free_port: FreePort) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address) as subscriber:
        assert only(subscriber.peers).state == "connecting"
        wait_until(lambda: only(subscriber.peers).attempts > 2)
        assert (only(subscriber.peers).address, only(subscriber.peers).state) == (
            address,
            "connecting",
        )
        began = only(subscriber.peers).since
        with Publisher(address) as publisher:
            assert subscriber.wait_connected(timeout=TIMEOUT) == 1
            assert only(subscriber.peers).attempts == 0
            assert only(subscriber.peers).since > began
            wait_until(lambda: len(publisher.peers) == 1)


def test_a_subscriber_reconnects_after_the_publisher_restarts(free_port: FreePort) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address) as subscriber:
        for text in ("first", "second"):
            with Publisher(address) as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(text)
                assert subscriber.recv_text(timeout=TIMEOUT) == text
            wait_until(lambda: only(subscriber.peers).state == "reconnecting")
            with pytest.raises(TimeoutError):
                subscriber.wait_connected(timeout=0)
        wait_until(lambda: only(subscriber.peers).attempts > 0)


def test_disconnect_removes_the_peer_on_both_sides(pair: Pair) -> None:
    pair.subscriber.wait_connected(timeout=TIMEOUT)
    pair.subscriber.disconnect(pair.publisher.addresses[0])
    assert pair.subscriber.peers == []
    wait_until(lambda: pair.publisher.peers == [])


def test_a_bound_subscriber_lists_the_connected_publishers() -> None:
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        assert subscriber.peers == []
        with Publisher(connect=subscriber.addresses[0]) as publisher:
            assert subscriber.wait_connected(timeout=TIMEOUT) == 1
            assert only(subscriber.peers).attempts == 0
            assert only(publisher.peers).address == subscriber.addresses[0]
        wait_until(lambda: subscriber.peers == [])


def test_a_peer_has_the_host_name_that_was_passed() -> None:
    with Publisher("127.0.0.1:0") as publisher:
        port = publisher.addresses[0].rpartition(":")[2]
        with Subscriber(f"localhost:{port}") as subscriber:
            subscriber.wait_connected(timeout=TIMEOUT)
            assert only(subscriber.peers).address == f"localhost:{port}"


def test_an_unknown_host_name_stays_resolving() -> None:
    with Subscriber("missing.invalid") as subscriber:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                subscriber.wait_connected(timeout=0.3)
            peer = only(subscriber.peers)
            assert (peer.address, peer.state) == ("missing.invalid:5555", "resolving")


def test_inproc_is_connected_immediately() -> None:
    with Publisher("inproc://test-connections"), Subscriber(
        "inproc://test-connections"
    ) as subscriber:
        assert (only(subscriber.peers).state, only(subscriber.peers).attempts) == ("connected", 0)


def test_peers_of_a_closed_object_raise_closed_error(pair: Pair) -> None:
    for each in pair:
        each.close()
        with pytest.raises(ClosedError):
            _ = each.peers
    with pytest.raises(ClosedError):
        pair.subscriber.wait_connected(timeout=0)


# ---- wait_connected


def test_wait_connected_waits_for_the_number_of_connections() -> None:
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(Publisher("127.0.0.1:0")) for _ in range(2))
        subscriber = stack.enter_context(Subscriber(one.addresses))
        assert subscriber.wait_connected(0, timeout=0) in (0, 1)
        assert subscriber.wait_connected(1, timeout=TIMEOUT) == 1
        waiting = Background(subscriber.wait_connected, 2, timeout=TIMEOUT)
        waiting.wait_until_blocked()
        subscriber.connect(two.addresses[0])
        assert waiting.result() == 2
        assert {peer.state for peer in subscriber.peers} == {"connected"}


def test_a_timeout_of_wait_connected_reports_the_number_of_connections(pair: Pair) -> None:
    pair.subscriber.wait_connected(timeout=TIMEOUT)
    for timeout in (0, 0.1):
        with pytest.raises(TimeoutError, match="1 of 2 connections established within the "):
            pair.subscriber.wait_connected(2, timeout=timeout)


def test_wait_connected_names_the_reason_of_each_connection_that_failed(
    pair: Pair, free_port: FreePort
) -> None:
    missing = f"127.0.0.1:{free_port()}"
    pair.subscriber.connect(missing)
    pair.subscriber.wait_connected(timeout=TIMEOUT)
    with pytest.raises(TimeoutError) as caught:
        pair.subscriber.wait_connected(2, timeout=0.1)
    assert str(caught.value) == (
        "1 of 2 connections established within the timeout (see peers): not connected to "
        f"{missing} (refused): no program listens on that port; start the publisher, or check "
        "address and port"
    )


@pytest.mark.parametrize(
    ("arguments", "options"), [((-1,), {}), ((1,), {"timeout": -1}), ((1,), {"timeout": "soon"})]
)
def test_wait_connected_refuses_invalid_arguments(
    pair: Pair, arguments: tuple[int, ...], options: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        pair.subscriber.wait_connected(*arguments, **options)


def test_close_ends_wait_connected(free_port: FreePort) -> None:
    subscriber = Subscriber(f"127.0.0.1:{free_port()}")
    waiting = Background(subscriber.wait_connected)
    waiting.wait_until_blocked()
    subscriber.close()
    with pytest.raises(ClosedError):
        waiting.result()


def test_ctrl_c_ends_wait_connected(run_python: RunPython, free_port: FreePort) -> None:
    script = """
import sys
from tests.helpers.timeouts import interrupt_when_blocked
from zmqchat_rs import Subscriber

sub = Subscriber(sys.argv[1])

def wait_here():
    sub.wait_connected()

interrupt_when_blocked()
try:
    wait_here()
except KeyboardInterrupt:
    print("interrupted", len(sub.peers))
"""
    finished = run_python(script, f"127.0.0.1:{free_port()}")
    assert (finished.code, finished.stdout, finished.stderr) == (0, "interrupted 1\n", "")
