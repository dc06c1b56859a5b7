"""Invalid arguments and failures: the error names the remedy, and messages still arrive."""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Iterator

import pytest

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import (
    ClosedError,
    Message,
    Publisher,
    Subscriber,
    Transcript,
    ZmqChatError,
    read_transcript,
)

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython


@pytest.fixture(autouse=True)
def messages_still_arrive() -> Iterator[None]:
    """After each test, this process can still send and receive a message."""
    yield
    with Publisher("127.0.0.1:0", linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            publisher.send("Hello")
            assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


@pytest.mark.parametrize("port", ["99999", "65536", "-1", "0x50", "5555555555555555555555"])
def test_a_port_out_of_range_is_refused_with_the_range(port: str) -> None:
    for make in (Publisher, Subscriber):
        with pytest.raises(ValueError, match="1 to 65535") as caught:
            make(f"192.168.1.12:{port}")
        assert port in str(caught.value)


def test_a_port_with_a_letter_is_refused() -> None:
    for make in (Publisher, Subscriber):
        with pytest.raises(ValueError, match="55x5") as caught:
            make("192.168.1.12:55x5")
        assert "port" in str(caught.value)
        assert "1 to 65535" in str(caught.value) or "5555" in str(caught.value)


def test_an_empty_host_is_refused_with_an_example() -> None:
    for make in (Publisher, Subscriber):
        for address in ("", ":5555", "tcp://:5555"):
            with pytest.raises(ValueError, match="for example"):
                make(address)


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_the_error_for_an_ipc_path_under_a_file_names_the_path() -> None:
    with pytest.raises(ZmqChatError, match="/dev/null/x") as caught:
        Publisher("ipc:///dev/null/x")
    assert caught.value.errno == errno.ENOTDIR
    with pytest.raises(ZmqChatError, match="/dev/null/x"):
        Subscriber(bind="ipc:///dev/null/x")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:5555\0", "\0", "127.0.0.1\0:5555", "ipc:///tmp/\0x", "inproc://\0"]
)
def test_a_nul_in_an_address_is_refused(address: str) -> None:
    uses: list[Callable[[], object]] = [
        lambda: Publisher(address),
        lambda: Publisher(connect=address),
        lambda: Subscriber(address),
        lambda: Subscriber(bind=address),
        lambda: Subscriber().connect(address),
        lambda: Subscriber().disconnect(address),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"(?i)NUL|control|\\0|\\x00"):
            use()


def test_a_nul_is_refused_in_a_topic_and_delivered_in_a_text(topic_pair: Pair) -> None:
    with pytest.raises(ValueError, match=r"(?i)NUL|control|\\0|\\x00|printable"):
        topic_pair.publisher.send("Hello", topic="room\0")
    topic_pair.publisher.send("Hel\0lo", topic="room1")
    assert topic_pair.subscriber.recv(timeout=TIMEOUT).text == "Hel\0lo"


@pytest.mark.parametrize(("topic", "what"), [("room:1", ":"), ("room 1", "space")])
def test_a_topic_with_a_colon_or_a_space_is_refused(pair: Pair, topic: str, what: str) -> None:
    uses: list[Callable[[], object]] = [
        lambda: pair.publisher.send("Hello", topic=topic),
        lambda: pair.subscriber.subscribe(topic),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=what) as caught:
            use()
        assert topic in str(caught.value)


def test_a_prefix_that_is_too_long_for_publishers_is_refused(pair: Pair) -> None:
    uses: list[Callable[[], object]] = [
        lambda: pair.subscriber.subscribe(prefix=b"x" * 9_000),
        lambda: pair.subscriber.subscribe(prefix="x" * 9_000),
        lambda: Subscriber("127.0.0.1:1", prefixes=[b"x" * 9_000]),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="prefix"):
            use()
    pair.publisher.send("still subscribed")
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "still subscribed"


def test_a_prefix_of_ten_megabytes_does_not_overflow_the_stack(run_python: RunPython) -> None:
    finished = run_python(
        """
        from zmqchat_rs import Subscriber
        with Subscriber("127.0.0.1:1") as sub:
            try:
                sub.subscribe(prefix=b"x" * 10_000_000)
            except ValueError:
                print("refused")
        """
    )
    assert finished == (0, "refused\n", "")


def test_a_payload_of_65_mebibytes_is_refused_with_the_limit_to_raise(pair: Pair) -> None:
    payload = bytes(65 * 1024 * 1024)
    uses: list[Callable[[], object]] = [
        lambda: pair.publisher.send(payload),
        lambda: pair.publisher.send_many(["before", payload]),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="max_message_bytes"):
            use()
    pair.publisher.send("after")
    received = [pair.subscriber.recv_text(timeout=TIMEOUT)]
    if received == ["before"]:
        received = [pair.subscriber.recv_text(timeout=TIMEOUT)]
    assert received == ["after"]


def test_the_limit_on_payloads_counts_the_whole_frame() -> None:
    with Publisher("127.0.0.1:0", max_message_bytes=100, linger=0) as publisher:
        publisher.send(b"x" * 100)
        publisher.send(b"x" * 94, topic="room1")
        with pytest.raises(ValueError, match="100"):
            publisher.send(b"x" * 101)


def test_a_closed_publisher_raises_closed_error(pair: Pair) -> None:
    publisher = pair.publisher
    publisher.close()
    uses: list[Callable[[], object]] = [
        lambda: publisher.send("x"),
        lambda: publisher.send_many(["x"]),
        lambda: publisher.send_json({}),
        lambda: publisher.wait_for_subscribers(1, timeout=0),
        publisher.__enter__,
    ]
    for use in uses:
        with pytest.raises(ClosedError, match=r"(?i)publisher.*closed"):
            use()


def test_a_closed_subscriber_raises_closed_error(pair: Pair) -> None:
    subscriber = pair.subscriber
    subscriber.close()
    uses: list[Callable[[], object]] = [
        lambda: subscriber.recv(timeout=0),
        subscriber.recv,
        subscriber.recv_text,
        subscriber.recv_bytes,
        subscriber.recv_many,
        lambda: subscriber.subscribe("room1"),
        lambda: subscriber.unsubscribe("room1"),
        lambda: subscriber.connect("127.0.0.1:1"),
        lambda: subscriber.disconnect("127.0.0.1:1"),
        subscriber.__enter__,
    ]
    for use in uses:
        with pytest.raises(ClosedError, match=r"(?i)subscriber.*closed"):
            use()


def test_the_error_for_a_port_of_this_program_names_the_publisher(
    publisher: Publisher,
) -> None:
    port = str(publisher.endpoint).rpartition(":")[2]
    with pytest.raises(ZmqChatError, match=port) as caught:
        Publisher(f"127.0.0.1:{port}")
    assert caught.value.errno == errno.EADDRINUSE
    assert "Publisher" in str(caught.value)
    assert "close" in str(caught.value)
    # The refused publisher does not hold the port: it is free after its owner is closed.
    publisher.close()
    Publisher(f"127.0.0.1:{port}").close()


def test_the_error_for_a_port_in_use_names_the_port() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        address = f"127.0.0.1:{port}"
        uses: list[Callable[[], object]] = [
            lambda: Publisher(address),
            lambda: Subscriber(bind=address),
        ]
        for use in uses:
            with pytest.raises(ZmqChatError, match=str(port)) as caught:
                use()
            assert caught.value.errno == errno.EADDRINUSE


def test_an_address_that_is_not_local_cannot_be_bound() -> None:
    # Reserved for documentation (RFC 5737): no host has this address.
    with pytest.raises(ZmqChatError, match=r"192\.0\.2\.1") as caught:
        Publisher("192.0.2.1:5555")
    assert caught.value.errno in (errno.EADDRNOTAVAIL, errno.ENODEV)


def test_an_unknown_interface_cannot_be_bound() -> None:
    with pytest.raises(ZmqChatError, match="nosuchif0"):
        Publisher("nosuchif0:5555")


def test_the_error_for_a_port_that_requires_privileges_names_the_port() -> None:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 81))
        pytest.skip("this user may bind any port")
    except PermissionError:
        pass
    with pytest.raises(ZmqChatError, match="81") as caught:
        Publisher("127.0.0.1:81")
    assert caught.value.errno == errno.EACCES


WRONG: list[Callable[[Pair], object]] = [
    lambda _: Publisher(5555),  # type: ignore[arg-type]
    lambda _: Publisher([5555]),  # type: ignore[list-item]
    lambda _: Publisher(b"127.0.0.1"),  # type: ignore[arg-type]
    lambda _: Publisher("127.0.0.1:0", ()),  # type: ignore[call-arg]
    lambda _: Publisher("127.0.0.1:0", nmae="alice"),  # type: ignore[call-arg]
    lambda _: Publisher("127.0.0.1:0", linger="1"),  # type: ignore[arg-type]
    lambda _: Publisher("127.0.0.1:0", high_water_mark=1.5),  # type: ignore[arg-type]
    lambda _: Subscriber(5555),  # type: ignore[arg-type]
    lambda _: Subscriber("127.0.0.1", topics=5),  # type: ignore[arg-type]
    lambda _: Subscriber("127.0.0.1", topics=[5]),  # type: ignore[list-item]
    lambda _: Subscriber("127.0.0.1", topics=b"room1"),  # type: ignore[arg-type]
    lambda _: Subscriber("127.0.0.1", prefixes=[5]),  # type: ignore[list-item]
    lambda pair: pair.publisher.send("x", topic=b"room1"),  # type: ignore[arg-type]
    lambda pair: pair.publisher.send("x", "room1", 1),  # type: ignore[call-arg]
    lambda pair: pair.publisher.send_many(5),  # type: ignore[arg-type]
    lambda pair: pair.publisher.send_many("ab"),
    lambda pair: pair.publisher.send_many(b"ab"),  # type: ignore[arg-type]
    lambda pair: pair.publisher.send_many(bytearray(b"ab")),  # type: ignore[arg-type]
    lambda pair: pair.publisher.send_many(bytearray()),  # type: ignore[arg-type]
    lambda pair: pair.publisher.send_many(memoryview(b"ab")),
    lambda pair: pair.publisher.wait_for_subscribers("1"),  # type: ignore[arg-type]
    lambda pair: pair.subscriber.recv("1"),  # type: ignore[arg-type]
    lambda pair: pair.subscriber.subscribe(5),  # type: ignore[arg-type]
    lambda pair: pair.subscriber.subscribe(prefix=5),  # type: ignore[arg-type]
    lambda _: Publisher("127.0.0.1:0", keepalive="5, 4, 3"),  # type: ignore[arg-type]
    lambda _: Message(5),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("use", WRONG)
def test_an_argument_of_the_wrong_type_is_a_type_error(
    pair: Pair, use: Callable[[Pair], object]
) -> None:
    with pytest.raises(TypeError):
        use(pair)


def test_the_error_for_a_positional_topic_names_the_keyword() -> None:
    with pytest.raises(TypeError, match=r'topics=\["room1"\]'):
        Subscriber("127.0.0.1", "room1")  # type: ignore[call-arg]


SENSELESS: list[tuple[Callable[[Pair], object], str]] = [
    (lambda _: Publisher("127.0.0.1:0", linger=-1), "linger"),
    (lambda _: Publisher("127.0.0.1:0", linger=float("nan")), "linger"),
    (lambda _: Publisher("127.0.0.1:0", max_message_bytes=-1), "max_message_bytes"),
    (lambda _: Publisher("127.0.0.1:0", framing="raw"), "plain.*envelope"),  # type: ignore[arg-type]
    (lambda _: Publisher("127.0.0.1:0", name=""), "name"),
    (lambda _: Publisher("127.0.0.1:0", name="x" * 256), "255"),
    (lambda _: Publisher("127.0.0.1:0", name="a\u202eb"), r"invalid name 'a\\u202eb'"),
    (lambda _: Publisher("127.0.0.1:0", name="a\u2028b"), r"invalid name 'a\\u2028b'"),
    (lambda _: Publisher("127.0.0.1:0", name="a\nb"), r"invalid name 'a\\nb'"),
    (lambda _: Publisher([]), "bind|address"),
    (lambda _: Subscriber("127.0.0.1", framing="odd"), "plain.*envelope.*raw"),  # type: ignore[arg-type]
    (lambda _: Subscriber("127.0.0.1", max_message_bytes=-1), "max_message_bytes"),
    (lambda pair: pair.publisher.wait_for_subscribers(-1, timeout=0), "count"),
    (lambda pair: pair.publisher.close(linger=-1), "linger"),
    (lambda pair: pair.subscriber.recv_many(0, timeout=0), "max_count"),
    (lambda pair: pair.subscriber.recv_many(-1, timeout=0), "max_count"),
    (lambda pair: pair.subscriber.listen(count=-1, timeout=0), "count"),
    (lambda pair: pair.subscriber.listen(timeout=-1), "timeout"),
    (lambda pair: pair.subscriber.recv(timeout=-(2**2000)), "timeout"),
    (lambda pair: pair.publisher.close(linger=2**2000), "infinite linger"),
    (lambda pair: pair.subscriber.recv_many(-(2**64), timeout=0), "beyond 64 bits"),
    (lambda _: Message([b""], received_at=datetime(9999, 1, 1, tzinfo=timezone.utc)), "1678"),
    (lambda _: Publisher("127.0.0.1:0", keepalive=(1, 2)), "keepalive: .*number of probes"),  # type: ignore[arg-type]
    (lambda _: Subscriber("127.0.0.1", keepalive=(1, 2, 0)), "keepalive: .*number of probes"),
    (lambda _: Transcript(""), "at least one character"),
    (lambda _: Transcript("a\0b"), "no NUL"),
    (lambda _: read_transcript(""), "at least one character"),
    (lambda _: Message([b""], received_at=datetime(1, 1, 2, tzinfo=timezone.utc)), "1678"),
]


@pytest.mark.parametrize(("use", "name"), SENSELESS)
def test_an_invalid_value_is_a_value_error_that_names_it(
    pair: Pair, use: Callable[[Pair], object], name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        use(pair)


def test_a_time_beyond_the_range_of_the_clock_is_not_a_limit(pair: Pair) -> None:
    pair.publisher.send("Hello")
    assert pair.subscriber.recv_text(timeout=2**2000) == "Hello"


def test_text_that_is_not_unicode_is_refused(pair: Pair) -> None:
    broken: Any = "half a pair \ud800"
    uses: list[Callable[[], object]] = [
        lambda: pair.publisher.send(broken),
        lambda: pair.publisher.send("x", topic=broken),
        lambda: pair.subscriber.subscribe(broken),
        lambda: pair.subscriber.subscribe(prefix=broken),
        lambda: Publisher(broken),
        lambda: Publisher("127.0.0.1:0", name=broken),
    ]
    for use in uses:
        with pytest.raises(ValueError):  # noqa: PT011 - the message is Python's
            use()


def test_an_object_inherited_by_a_fork_raises_and_the_parent_continues(
    run_python: RunPython,
) -> None:
    finished = run_python(
        """
        import os
        from zmqchat_rs import Publisher, ZmqChatError
        pub = Publisher("127.0.0.1:0")
        child = os.fork()
        if child == 0:
            try:
                pub.send("x")
            except ZmqChatError as error:
                assert "fork" in str(error) and "new" in str(error), error
                os._exit(0)
            os._exit(1)
        print(os.waitpid(child, 0)[1], pub.subscriber_count)
        """
    )
    assert finished == (0, "0 0\n", "")


def test_a_peer_that_does_not_speak_zeromq_has_no_effect_on_other_peers(pair: Pair) -> None:
    port = int(str(pair.publisher.endpoint).rpartition(":")[2])
    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 100, b"\xff" * 10):
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
            connection.sendall(data)
    assert pair.publisher.subscriber_count == 1
    pair.publisher.send("Hello")
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "Hello"


def test_a_numpy_number_is_refused_with_the_remedy(pair: Pair) -> None:
    """Its buffer would be sent as 8 raw bytes. A `float` is refused as well."""
    numpy = pytest.importorskip("numpy")
    numbers = [
        numpy.float64(21.5),
        numpy.array([20.0, 21.5]).mean(),
        numpy.int32(3),
        numpy.bool_(True),  # noqa: FBT003
        numpy.complex128(1j),
        numpy.array(21.5),
    ]
    for number in numbers:
        for use in (pair.publisher.send, lambda one: pair.publisher.send_many([one])):
            with pytest.raises(TypeError, match=r"str\(x\).*send_json.*pack_array"):
                use(number)


def test_a_numpy_time_is_refused_with_the_remedy(pair: Pair) -> None:
    numpy = pytest.importorskip("numpy")
    for time in (numpy.datetime64("2026-01-31"), numpy.timedelta64(3, "s")):
        with pytest.raises(TypeError, match=r"str\(x\).*pack_array"):
            pair.publisher.send(time)


def test_buffers_without_dimensions_that_are_not_numbers_are_sent(pair: Pair) -> None:
    numpy = pytest.importorskip("numpy")

    class Reading(ctypes.Structure):
        _fields_ = [("sensor", ctypes.c_int32), ("O", ctypes.c_double)]

    record = numpy.array((1, 2.0), dtype=[("O", "<i4"), ("x", "<f8")])
    payloads = [Reading(1, 2.0), ctypes.c_double(2.0), numpy.void(b"abc"), record]
    for payload in payloads:
        pair.publisher.send(payload)
        assert pair.subscriber.recv(timeout=TIMEOUT).raw == bytes(payload)


def test_buffers_of_pointers_are_refused(pair: Pair) -> None:
    numpy = pytest.importorskip("numpy")

    class Node(ctypes.Structure):
        _fields_ = [("next", ctypes.c_void_p)]

    payloads = [
        numpy.array([object()]),
        numpy.array([(1, object())], dtype=[("a", "i4"), ("b", "O")]),
        ctypes.py_object(3),
        ctypes.c_char_p(b"text"),
        ctypes.pointer(ctypes.c_int(3)),
        Node(),
    ]
    for payload in payloads:
        with pytest.raises(TypeError, match="objects or pointers"):
            pair.publisher.send(payload)


def test_the_error_of_send_json_names_the_conversion_of_a_numpy_number(pair: Pair) -> None:
    numpy = pytest.importorskip("numpy")
    for value in (numpy.float32(1), numpy.zeros(2)):
        with pytest.raises(TypeError, match=r"float\(x\).*tolist\(\)"):
            pair.publisher.send_json({"t": value})


@pytest.mark.parametrize("at", [3, 3.5, "2026-01-31", date(2026, 1, 31)])
def test_a_message_time_that_is_not_a_datetime_is_refused(at: Any) -> None:
    with pytest.raises(TypeError, match=r"is a datetime or None, not (int|float|str|date)"):
        Message([b"Hello"], received_at=at)


@pytest.mark.parametrize("at", [datetime.min, datetime.max])  # noqa: DTZ901
def test_a_message_time_beyond_the_range_is_refused(at: datetime) -> None:
    for each in (at, at.replace(tzinfo=timezone.utc)):
        with pytest.raises(ValueError, match="1678"):
            Message([b"Hello"], received_at=each)
