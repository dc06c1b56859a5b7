"""Connection events are passed to `on_event`; errors of callbacks are logged."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Iterator

import pytest

from tests.helpers.events import RecordedEvents
from tests.helpers.stamps import stamping_publisher
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Event, Publisher, Subscriber, _event_delivery
from zmqchat_rs._rate_limit import RateLimit

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython

    FreePort = Callable[[], int]
    Open = Callable[..., Any]


# ---- on_event


def test_a_subscriber_receives_its_connection_events_in_order_in_one_thread(
    free_port: FreePort,
) -> None:
    address, received = f"127.0.0.1:{free_port()}", RecordedEvents()
    with Subscriber(address, on_event=received):
        for round_trips in (1, 2):
            with Publisher(address):
                received.wait_for(*(["connected", "disconnected"] * round_trips)[:-1])
            received.wait_for(*["connected", "disconnected"] * round_trips)
    assert {event.address for event in received.events} == {address}
    times = [event.at for event in received.events]
    assert times == sorted(times)
    assert all(time.tzinfo is not None for time in times)
    (thread,) = received.threads
    assert thread.daemon
    assert thread not in (threading.main_thread(), threading.current_thread())


def test_an_immediate_connection_is_reported(publisher: Publisher) -> None:
    for _ in range(50):
        received = RecordedEvents()
        with Subscriber(publisher.addresses, on_event=received):
            received.wait_for("connected")


def test_a_publisher_receives_an_event_for_each_subscription_change() -> None:
    received = RecordedEvents()
    with Publisher("127.0.0.1:0", on_event=received) as publisher:
        with Subscriber(publisher.addresses, topics=["room1"]) as subscriber:
            received.wait_for("connected", "subscribed")
            subscriber.subscribe(prefix=b"sens")
            received.wait_for("connected", "subscribed", "subscribed")
            subscriber.unsubscribe("room1")
            received.wait_for("connected", "subscribed", "subscribed", "unsubscribed")
        wait_until(lambda: received.kinds()[-1] == "disconnected")
    assert [event.subscription for event in received.events[1:4]] == ["room1", b"sens", "room1"]
    assert [str(event).partition(" ")[2] for event in received.events[1:4]] == [
        "joined room1",
        "joined sens*",
        "left room1",
    ]
    assert len({event.address for event in received.events}) == 1


def test_a_connecting_publisher_receives_connection_and_subscription_events() -> None:
    received = RecordedEvents()
    with contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(Subscriber(bind="127.0.0.1:0", topics=["room1"]))
        address = subscriber.addresses[0]
        stack.enter_context(Publisher(connect=address, on_event=received))
        received.wait_for("connected", "subscribed")
    assert {event.address for event in received.events} == {address}


@pytest.mark.parametrize("error", [ZeroDivisionError("bad callback"), SystemExit("bad callback")])
def test_a_callback_that_raises_is_logged_and_called_again(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    received = RecordedEvents()

    def fail(event: Event) -> None:
        received(event)
        raise error

    with Publisher("127.0.0.1:0", on_event=fail) as publisher:
        with Subscriber(publisher.addresses):
            received.wait_for("connected", "subscribed")
        wait_until(lambda: "disconnected" in received.kinds())
        line = f"\n{type(error).__name__}: bad callback"
        wait_until(lambda: caplog.text.count(line) == len(received.events))
    assert {record.name for record in caplog.records} == {"zmqchat_rs"}
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


class FailingHandler(logging.Handler):
    """A log handler that always raises."""

    def emit(self, _: logging.LogRecord) -> None:
        raise RuntimeError("disk full")


@pytest.fixture
def failing_log() -> Iterator[None]:
    """Add a handler that always raises to the package's logger."""
    handler = FailingHandler()
    logging.getLogger("zmqchat_rs").addHandler(handler)
    yield
    wait_until_events_are_delivered()
    logging.getLogger("zmqchat_rs").removeHandler(handler)


@pytest.mark.usefixtures("failing_log")
def test_a_failing_log_handler_does_not_block_events(
    publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Event) -> None:
        raise ZeroDivisionError("bad callback")

    with Subscriber(publisher.addresses, on_event=fail):
        wait_until_events_are_delivered()
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: bad callback" in printed
    assert "RuntimeError: disk full" in printed


@pytest.mark.usefixtures("failing_log")
def test_an_event_that_cannot_be_logged_is_passed_to_the_callback() -> None:
    received = RecordedEvents()
    with stamping_publisher() as stamping, Subscriber(
        stamping.address, on_event=received
    ) as subscriber:
        stamping.wait()
        stamping.send(1, 3)
        for _ in range(2):
            subscriber.recv(timeout=TIMEOUT)
        wait_until(lambda: "lost" in received.kinds())


def test_events_beyond_the_queue_limit_are_dropped_and_logged_once(
    run_python: RunPython,
) -> None:
    script = """
import threading
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber

release, received = threading.Event(), []

def slow(event):
    release.wait(30)
    received.append(event)

with Publisher("127.0.0.1:0", on_event=slow) as pub, Subscriber(pub.endpoint) as sub:
    for _ in range(2):
        release.clear()
        received.clear()
        topics = ["t%d" % number for number in range(11_000)]
        for change in (sub.subscribe, sub.unsubscribe):
            for topic in topics:
                change(topic)
        sub.subscribe("last")
        pub.wait_for_subscribers(topic="last", timeout=30)
        release.set()
        wait_until(lambda: received and received[-1].subscription == "last")
        print(10_000 <= len(received) < 11_000)
        sub.unsubscribe("last")
"""
    finished = run_python(script)
    assert finished.stdout.split() == ["True"] * 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("events were dropped")


def test_an_event_thread_that_fails_is_replaced(run_python: RunPython) -> None:
    script = """
import threading
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber, _core

def fail():
    raise MemoryError("none left")

received = []
read, _core._next_event = _core._next_event, fail
died = threading.Event()
threading.excepthook = lambda failure: died.set()
with Publisher("127.0.0.1:0", on_event=received.append) as pub:
    with Subscriber(pub.endpoint):
        assert died.wait(30)
        _core._next_event = read
        # The thread ends shortly after the hook.
        wait_until(lambda: "zmqchat-events" not in [each.name for each in threading.enumerate()])
        with Subscriber(pub.endpoint):
            wait_until(lambda: len(received) >= 2)
print("received")
"""
    assert run_python(script) == (0, "received\n", "")


def test_a_callback_may_close_its_own_object(publisher: Publisher) -> None:
    def close(_: Event) -> None:
        subscriber.close()
        closed.set()

    closed = threading.Event()
    subscriber = Subscriber(on_event=close)
    subscriber.connect(publisher.addresses[0])
    assert closed.wait(TIMEOUT)
    assert subscriber.closed
    wait_until(lambda: publisher.subscriber_count == 0)


def test_a_callback_may_use_its_own_object(publisher: Publisher) -> None:
    seen: list[str] = []

    def record_states(_: Event) -> None:
        seen.extend(peer.state for peer in subscriber.peers)

    subscriber = Subscriber(on_event=record_states)
    with subscriber:
        subscriber.connect(publisher.addresses[0])
        wait_until(lambda: seen == ["connected"])


def test_a_slow_callback_does_not_delay_messages(publisher: Publisher) -> None:
    end, called = threading.Event(), threading.Event()

    def wait(_: Event) -> None:
        called.set()
        end.wait(TIMEOUT)

    with Subscriber(publisher.addresses, on_event=wait) as subscriber:
        assert called.wait(TIMEOUT)
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"
        end.set()


def test_no_event_is_reported_after_close(publisher: Publisher) -> None:
    received = RecordedEvents()
    with Subscriber(publisher.addresses, on_event=received):
        received.wait_for("connected")
    publisher.close()
    wait_until_events_are_delivered()
    received.wait_for("connected")


def wait_until_events_are_delivered() -> None:
    """Return once all earlier events are delivered: all events share one queue."""
    received = RecordedEvents()
    with Publisher("127.0.0.1:0") as publisher, Subscriber(publisher.addresses, on_event=received):
        received.wait_for("connected")


@pytest.mark.parametrize("open_one", [Subscriber, lambda **kw: Publisher("127.0.0.1:0", **kw)])
def test_a_callback_is_kept_until_its_object_is_closed(open_one: Open) -> None:
    received = RecordedEvents()
    reference = weakref.ref(received)
    one = open_one(on_event=received)
    del received
    gc.collect()
    assert reference() is not None
    one.close()
    wait_until_events_are_delivered()  # an earlier event may still refer to it
    wait_until(lambda: gc.collect() >= 0 and reference() is None, "the callback to be released")


@pytest.mark.parametrize("open_one", [Subscriber, lambda **kw: Publisher("127.0.0.1:0", **kw)])
def test_on_event_must_be_callable(open_one: Open) -> None:
    with pytest.raises(TypeError, match="on_event"):
        open_one(on_event="me")


# ---- repeated "cut off" events


def test_a_peer_that_is_cut_off_repeatedly_is_logged_once(
    publisher: Publisher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_event_delivery._cut_off, "seconds", 10 * TIMEOUT)
    received = RecordedEvents()
    with Subscriber(publisher.addresses, max_message_bytes=5_000, on_event=received):

        def cut_off_again() -> bool:
            publisher.send(b"x" * 5_001)
            return received.kinds().count("cut off") >= 3

        wait_until(cut_off_again)
    assert caplog.text.count("cut off 127.0.0.1:") == 1


def test_the_log_of_many_peers_that_are_cut_off_is_rate_limited() -> None:
    limit = RateLimit(10 * TIMEOUT, 10)
    logged = [limit.allows(f"192.0.2.1:{port}") for port in range(50)]
    assert logged == [True] * 10 + [False] * 40
