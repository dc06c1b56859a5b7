"""What happens to connections is told: to `on_event`, and silence to the log."""

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


def test_a_subscriber_is_told_of_its_connection_in_order_and_in_one_thread(
    free_port: FreePort,
) -> None:
    address, told = f"127.0.0.1:{free_port()}", RecordedEvents()
    with Subscriber(address, on_event=told):
        for round_trips in (1, 2):
            with Publisher(address):
                told.wait_for(*(["connected", "disconnected"] * round_trips)[:-1])
            told.wait_for(*["connected", "disconnected"] * round_trips)
    assert {event.address for event in told.events} == {address}
    moments = [event.at for event in told.events]
    assert moments == sorted(moments)
    assert all(moment.tzinfo is not None for moment in moments)
    (thread,) = told.threads
    assert thread.daemon
    assert thread not in (threading.main_thread(), threading.current_thread())


def test_no_connection_is_too_quick_to_be_told(publisher: Publisher) -> None:
    for _ in range(50):
        told = RecordedEvents()
        with Subscriber(publisher.addresses, on_event=told):
            told.wait_for("connected")


def test_a_publisher_is_told_who_subscribes_to_what() -> None:
    told = RecordedEvents()
    with Publisher("127.0.0.1:0", on_event=told) as publisher:
        with Subscriber(publisher.addresses, topics=["room1"]) as subscriber:
            told.wait_for("connected", "subscribed")
            subscriber.subscribe(prefix=b"sens")
            told.wait_for("connected", "subscribed", "subscribed")
            subscriber.unsubscribe("room1")
            told.wait_for("connected", "subscribed", "subscribed", "unsubscribed")
        wait_until(lambda: told.kinds()[-1] == "disconnected")
    assert [event.subscription for event in told.events[1:4]] == ["room1", b"sens", "room1"]
    assert [str(event).partition(" ")[2] for event in told.events[1:4]] == [
        "joined room1",
        "joined sens*",
        "left room1",
    ]
    assert len({event.address for event in told.events}) == 1


def test_a_publisher_that_connects_is_told_as_well() -> None:
    told = RecordedEvents()
    with contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(Subscriber(bind="127.0.0.1:0", topics=["room1"]))
        address = subscriber.addresses[0]
        stack.enter_context(Publisher(connect=address, on_event=told))
        told.wait_for("connected", "subscribed")
    assert {event.address for event in told.events} == {address}


@pytest.mark.parametrize("error", [ZeroDivisionError("a slip"), SystemExit("a slip")])
def test_a_callback_that_raises_is_logged_and_called_again(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    told = RecordedEvents()

    def fail(event: Event) -> None:
        told(event)
        raise error

    with Publisher("127.0.0.1:0", on_event=fail) as publisher:
        with Subscriber(publisher.addresses):
            told.wait_for("connected", "subscribed")
        wait_until(lambda: "disconnected" in told.kinds())
        line = f"\n{type(error).__name__}: a slip"
        wait_until(lambda: caplog.text.count(line) == len(told.events))
    assert {record.name for record in caplog.records} == {"zmqchat_rs"}
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


class Broken(logging.Handler):
    """A log that takes nothing."""

    def emit(self, _: logging.LogRecord) -> None:
        raise RuntimeError("disk full")


@pytest.fixture
def broken_log() -> Iterator[None]:
    """The package's log is broken."""
    handler = Broken()
    logging.getLogger("zmqchat_rs").addHandler(handler)
    yield
    until_all_is_told()
    logging.getLogger("zmqchat_rs").removeHandler(handler)


@pytest.mark.usefixtures("broken_log")
def test_a_log_that_fails_holds_up_no_event(
    publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Event) -> None:
        raise ZeroDivisionError("a slip")

    with Subscriber(publisher.addresses, on_event=fail):
        until_all_is_told()
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: a slip" in printed
    assert "RuntimeError: disk full" in printed


@pytest.mark.usefixtures("broken_log")
def test_what_cannot_be_logged_is_told_all_the_same() -> None:
    told = RecordedEvents()
    with stamping_publisher() as alice, Subscriber(alice.address, on_event=told) as subscriber:
        alice.wait()
        alice.send(1, 3)
        for _ in range(2):
            subscriber.recv(timeout=TIMEOUT)
        wait_until(lambda: "lost" in told.kinds())


def test_events_that_nobody_took_in_time_are_dropped_and_that_is_logged_once(
    run_python: RunPython,
) -> None:
    script = """
import threading
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber

go_on, told = threading.Event(), []

def slow(event):
    go_on.wait(30)
    told.append(event)

with Publisher("127.0.0.1:0", on_event=slow) as pub, Subscriber(pub.endpoint) as sub:
    for _ in range(2):
        go_on.clear()
        told.clear()
        topics = ["t%d" % number for number in range(11_000)]
        for change in (sub.subscribe, sub.unsubscribe):
            for topic in topics:
                change(topic)
        sub.subscribe("last")
        pub.wait_for_subscribers(topic="last", timeout=30)
        go_on.set()
        wait_until(lambda: told and told[-1].subscription == "last")
        print(10_000 <= len(told) < 11_000)
        sub.unsubscribe("last")
"""
    finished = run_python(script)
    assert finished.stdout.split() == ["True"] * 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("events were dropped")


def test_a_reader_of_events_that_ends_is_followed_by_another_one(run_python: RunPython) -> None:
    script = """
import threading
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber, _core

def fail():
    raise MemoryError("none left")

told = []
read, _core._next_event = _core._next_event, fail
died = threading.Event()
threading.excepthook = lambda failure: died.set()
with Publisher("127.0.0.1:0", on_event=told.append) as pub:
    with Subscriber(pub.endpoint):
        assert died.wait(30)
        _core._next_event = read
        # The thread comes to its end a moment after the hook.
        wait_until(lambda: "zmqchat-events" not in [each.name for each in threading.enumerate()])
        with Subscriber(pub.endpoint):
            wait_until(lambda: len(told) >= 2)
print("told")
"""
    assert run_python(script) == (0, "told\n", "")


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

    def look(_: Event) -> None:
        seen.extend(peer.state for peer in subscriber.peers)

    subscriber = Subscriber(on_event=look)
    with subscriber:
        subscriber.connect(publisher.addresses[0])
        wait_until(lambda: seen == ["connected"])


def test_a_slow_callback_holds_up_no_message(publisher: Publisher) -> None:
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


def test_nothing_is_told_after_the_close(publisher: Publisher) -> None:
    told = RecordedEvents()
    with Subscriber(publisher.addresses, on_event=told):
        told.wait_for("connected")
    publisher.close()
    until_all_is_told()
    told.wait_for("connected")


def until_all_is_told() -> None:
    """Return once the events so far have been told: they are one queue."""
    told = RecordedEvents()
    with Publisher("127.0.0.1:0") as publisher, Subscriber(publisher.addresses, on_event=told):
        told.wait_for("connected")


@pytest.mark.parametrize("open_one", [Subscriber, lambda **kw: Publisher("127.0.0.1:0", **kw)])
def test_a_callback_lives_as_long_as_its_object_is_open(open_one: Open) -> None:
    told = RecordedEvents()
    known = weakref.ref(told)
    one = open_one(on_event=told)
    del told
    gc.collect()
    assert known() is not None
    one.close()
    until_all_is_told()  # an event of the past may still hold it
    wait_until(lambda: gc.collect() >= 0 and known() is None, "the callback to be let go")


@pytest.mark.parametrize("open_one", [Subscriber, lambda **kw: Publisher("127.0.0.1:0", **kw)])
def test_only_a_function_can_be_called_back(open_one: Open) -> None:
    with pytest.raises(TypeError, match="on_event"):
        open_one(on_event="me")


# ---- cut off


def test_a_peer_that_is_cut_off_again_and_again_does_not_flood_the_log(
    publisher: Publisher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_event_delivery._cut_off, "seconds", 10 * TIMEOUT)
    told = RecordedEvents()
    with Subscriber(publisher.addresses, max_message_bytes=5_000, on_event=told):

        def cut_off_again() -> bool:
            publisher.send(b"x" * 5_001)
            return told.kinds().count("cut off") >= 3

        wait_until(cut_off_again)
    assert caplog.text.count("cut off 127.0.0.1:") == 1


def test_a_crowd_that_is_cut_off_does_not_flood_the_log() -> None:
    limit = RateLimit(10 * TIMEOUT, 10)
    news = [limit.allows(f"192.0.2.1:{port}") for port in range(50)]
    assert news == [True] * 10 + [False] * 40
