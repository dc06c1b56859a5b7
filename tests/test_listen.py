"""`listen` prints what arrives, wherever standard output is just then."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from patience import PATIENCE, Background
from zmqchat_rs import ClosedError

if TYPE_CHECKING:
    from conftest import Pair
    from interpreters import RunPython


def test_listen_prints_a_line_for_each_message(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send("Hello", topic="room1")
    pair.publisher.send("Bye")
    assert pair.subscriber.listen(count=2, timeout=PATIENCE, timestamps="none") == 2
    assert capsys.readouterr() == ("room1: Hello\nBye\n", "")


def test_listen_shows_the_time_unless_told_otherwise(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send("Hello")
    pair.subscriber.listen(count=1, timeout=PATIENCE)
    line = capsys.readouterr().out
    assert (line[0], line[3], line[6], line[9:]) == ("[", ":", ":", "] Hello\n")


def test_listen_takes_no_more_than_it_prints(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send_many([str(number) for number in range(10)])
    assert pair.subscriber.listen(count=3, timeout=PATIENCE, timestamps="none") == 3
    assert capsys.readouterr().out == "0\n1\n2\n"
    assert pair.subscriber.recv_text(timeout=PATIENCE) == "3"
    assert pair.subscriber.listen(count=0) == 0
    assert pair.subscriber.recv_text(timeout=PATIENCE) == "4"


def test_listen_writes_to_standard_output_as_it_is_at_that_moment(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("first", "second"):
        pair.publisher.send(text)
        sink = io.StringIO()
        monkeypatch.setattr(sys, "stdout", sink)
        pair.subscriber.listen(count=1, timeout=PATIENCE, timestamps="none")
        assert sink.getvalue() == f"{text}\n"


def test_the_line_is_flushed_before_listen_waits_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    sink = io.TextIOWrapper(io.BufferedWriter(raw, 1 << 16), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", sink)
    listening = Background(pair.subscriber.listen, count=2, timestamps="none")
    pair.publisher.send("first")
    listening.until_at_rest(raw.getvalue)
    assert raw.getvalue() == b"first\n"
    pair.publisher.send("second")
    assert listening.result() == 2
    assert raw.getvalue() == b"first\nsecond\n"


def test_the_time_out_is_the_total_and_ends_it_quietly(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send("Hello")
    assert pair.subscriber.listen(timeout=0.3, timestamps="none") == 1
    assert capsys.readouterr().out == "Hello\n"
    assert pair.subscriber.listen(timeout=0) == 0


def test_listen_ends_when_somebody_closes_the_subscriber(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    listening = Background(pair.subscriber.listen, timestamps="none")
    pair.publisher.send("Hello")
    listening.until_at_rest()
    pair.subscriber.close()
    assert listening.result() == 1
    assert capsys.readouterr().out == "Hello\n"


def test_listen_on_a_closed_subscriber_says_so(pair: Pair) -> None:
    pair.subscriber.close()
    with pytest.raises(ClosedError, match="closed"):
        pair.subscriber.listen()


@pytest.mark.parametrize(
    ("color", "environment", "colored"),
    [
        ("auto", {}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("always", {"NO_COLOR": "1"}, True),
        (True, {}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        (False, {}, False),
    ],
)
def test_listen_decides_the_colour_for_its_sink(  # noqa: PLR0913, PLR0917
    pair: Pair,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    color: Any,
    environment: dict[str, str],
    colored: bool,  # noqa: FBT001
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pair.publisher.send("Hello", topic="room1")
    pair.subscriber.listen(count=1, timeout=PATIENCE, color=color)
    assert ("\x1b[" in capsys.readouterr().out) is colored


def test_delta_counts_from_the_line_before(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.publisher.send_many(["a", "b"])
    pair.subscriber.listen(count=2, timeout=PATIENCE, timestamps="delta")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[+0.000] a"
    assert second.startswith("[+")
    assert second.endswith("] b")


def test_a_sink_that_cannot_write_a_character_shows_it_escaped(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    pair.publisher.send("Grüße 👋")
    assert pair.subscriber.listen(count=1, timeout=PATIENCE, timestamps="none") == 1
    sys.stdout.flush()
    assert raw.getvalue() == rb"Gr\xfc\xdfe \U0001f44b" + b"\n"


def test_an_escape_sequence_is_printed_as_text(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send("\x1b[2J\nforged")
    pair.subscriber.listen(count=1, timeout=PATIENCE, timestamps="none")
    assert capsys.readouterr().out == "\\x1b[2J\\nforged\n"


def test_an_error_of_the_sink_passes_through(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    pair.publisher.send("Hello")
    with pytest.raises(OSError, match="No space left"):
        pair.subscriber.listen(count=1, timeout=PATIENCE)


def test_a_full_disk_is_reported(run_python: RunPython) -> None:
    finished = run_python(
        """
        import sys
        from zmqchat_rs import Publisher, Subscriber
        with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
            pub.wait_for_subscribers(1, timeout=30)
            pub.send("Hello")
            real, sys.stdout = sys.stdout, open("/dev/full", "w")
            try:
                sub.listen(count=1, timeout=30)
            except OSError as error:
                print(error.strerror, file=real)
            # What is left in its buffer would complain once more, as it does for `print`.
            try:
                sys.stdout.close()
            except OSError:
                pass
            sys.stdout = real
        """
    )
    assert finished == (0, "No space left on device\n", "")


def test_ctrl_c_is_the_end_of_listen(run_python: RunPython) -> None:
    finished = run_python(
        """
        import time
        from patience import interrupt_when_at_rest
        from zmqchat_rs import Publisher, Subscriber

        with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
            pub.wait_for_subscribers(1, timeout=30)
            pub.send("Hello")
            sent = interrupt_when_at_rest()
            def wait_here():
                return sub.listen(timestamps="none")
            count = wait_here()
            print(count, time.monotonic() - sent[0])
            pub.send("after")
            print(sub.recv_text(timeout=30))
        """
    )
    assert (finished.code, finished.stderr) == (0, "")
    hello, ended, after = finished.stdout.splitlines()
    assert (hello, ended.split()[0], after) == ("Hello", "1", "after")
    assert float(ended.split()[1]) < 2


def test_the_exception_of_another_handler_passes_through_listen(run_python: RunPython) -> None:
    finished = run_python(
        """
        import signal
        from patience import interrupt_when_at_rest
        from zmqchat_rs import Subscriber

        class Stop(Exception):
            pass

        mine = Stop("by hand", 7)

        def handler(number, frame):
            raise mine

        signal.signal(signal.SIGTERM, handler)
        with Subscriber("127.0.0.1:1") as sub:
            interrupt_when_at_rest(signal.SIGTERM)
            def wait_here():
                sub.listen()
            try:
                wait_here()
            except Stop as error:
                print(error is mine)
        """
    )
    assert finished == (0, "True\n", "")
