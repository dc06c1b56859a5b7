"""`listen` prints received messages to the current `sys.stdout`."""

from __future__ import annotations

import io
import logging
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.timeouts import TIMEOUT, Background
from zmqchat_rs import ClosedError, Transcript, read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython


def test_listen_prints_a_line_for_each_message(
    topic_pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    topic_pair.publisher.send("Hello", topic="room1")
    topic_pair.publisher.send("Bye")
    assert topic_pair.subscriber.listen(count=2, timeout=TIMEOUT, timestamps="none") == 2
    assert capsys.readouterr() == ("room1: Hello\nBye\n", "")


def test_listen_prints_the_time_by_default(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.publisher.send("Hello")
    pair.subscriber.listen(count=1, timeout=TIMEOUT)
    line = capsys.readouterr().out
    assert (line[0], line[3], line[6], line[9:]) == ("[", ":", ":", "] Hello\n")


def test_listen_removes_only_printed_messages_from_the_queue(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send_many([str(number) for number in range(10)])
    assert pair.subscriber.listen(count=3, timeout=TIMEOUT, timestamps="none") == 3
    assert capsys.readouterr().out == "0\n1\n2\n"
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "3"
    assert pair.subscriber.listen(count=0) == 0
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "4"


def test_listen_writes_to_the_current_standard_output(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("first", "second"):
        pair.publisher.send(text)
        sink = io.StringIO()
        monkeypatch.setattr(sys, "stdout", sink)
        pair.subscriber.listen(count=1, timeout=TIMEOUT, timestamps="none")
        assert sink.getvalue() == f"{text}\n"


def test_listen_flushes_each_line_before_it_waits(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    sink = io.TextIOWrapper(io.BufferedWriter(raw, 1 << 16), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", sink)
    listening = Background(pair.subscriber.listen, count=2, timestamps="none")
    pair.publisher.send("first")
    listening.wait_until_blocked(raw.getvalue)
    assert raw.getvalue() == b"first\n"
    pair.publisher.send("second")
    assert listening.result() == 2
    assert raw.getvalue() == b"first\nsecond\n"


def test_the_timeout_is_a_total_and_ends_listen_without_an_error(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send("Hello")
    assert pair.subscriber.listen(timeout=0.3, timestamps="none") == 1
    assert capsys.readouterr().out == "Hello\n"
    assert pair.subscriber.listen(timeout=0) == 0


def test_listen_returns_when_another_thread_closes_the_subscriber(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    listening = Background(pair.subscriber.listen, timestamps="none")
    pair.publisher.send("Hello")
    listening.wait_until_blocked()
    pair.subscriber.close()
    assert listening.result() == 1
    assert capsys.readouterr().out == "Hello\n"


def test_listen_on_a_closed_subscriber_raises_closed_error(pair: Pair) -> None:
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
def test_listen_chooses_colour_by_argument_and_environment(  # noqa: PLR0913, PLR0917
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
    pair.subscriber.listen(count=1, timeout=TIMEOUT, color=color)
    assert ("\x1b[" in capsys.readouterr().out) is colored


def test_delta_is_the_time_since_the_previous_line(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send_many(["a", "b"])
    pair.subscriber.listen(count=2, timeout=TIMEOUT, timestamps="delta")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[+0.000] a"
    assert second.startswith("[+")
    assert second.endswith("] b")


def test_characters_that_the_output_cannot_encode_are_escaped(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    pair.publisher.send("Grüße 👋")
    assert pair.subscriber.listen(count=1, timeout=TIMEOUT, timestamps="none") == 1
    sys.stdout.flush()
    assert raw.getvalue() == rb"Gr\xfc\xdfe \U0001f44b" + b"\n"


def test_an_escape_sequence_is_printed_as_text(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.publisher.send("\x1b[2J\nforged")
    pair.subscriber.listen(count=1, timeout=TIMEOUT, timestamps="none")
    assert capsys.readouterr().out == "\\x1b[2J\\nforged\n"


def test_a_write_error_of_the_output_is_raised(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    pair.publisher.send("Hello")
    with pytest.raises(OSError, match="No space left"):
        pair.subscriber.listen(count=1, timeout=TIMEOUT)


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
            # Closing flushes the buffer and fails again, as after `print`.
            try:
                sys.stdout.close()
            except OSError:
                pass
            sys.stdout = real
        """
    )
    assert finished == (0, "No space left on device\n", "")


def test_ctrl_c_ends_listen_and_returns_the_count(run_python: RunPython) -> None:
    finished = run_python(
        """
        import time
        from tests.helpers.timeouts import interrupt_when_blocked
        from zmqchat_rs import Publisher, Subscriber

        with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
            pub.wait_for_subscribers(1, timeout=30)
            pub.send("Hello")
            sent = interrupt_when_blocked()
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


ALARM = """
import io, itertools, signal, sys, threading
from zmqchat_rs import ClosedError, Publisher, Subscriber

# Imported before the alarm: an import ignores an OSError such as a handler's TimeoutError.
import zmqchat_rs.display.sinks

def handler(number, frame):
    global raised
    raised += 1
    raise TimeoutError("the alarm")

raised = passed = 0
signal.signal(signal.SIGALRM, handler)

def listen_until_the_alarm(after, timeout):
    global passed
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        sub.listen(timeout=timeout, timestamps="none")
    except TimeoutError as error:
        passed += str(error) == "the alarm"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_timeout_error_of_a_signal_handler_is_raised_by_listen(
    run_python: RunPython,
) -> None:
    script = f"""{ALARM}
with Subscriber("127.0.0.1:1") as sub:
    listen_until_the_alarm(0.3, 0.35)
print(raised == passed == 1)
"""
    assert run_python(script) == (0, "True\n", "")


def test_a_signal_handler_that_raises_during_listen_loses_no_message(
    run_python: RunPython,
) -> None:
    script = f"""{ALARM}
def flood():
    try:
        for number in itertools.count():
            pub.send(str(number))
    except ClosedError:
        pass

with Publisher("127.0.0.1:0", on_full="block", high_water_mark=1_000) as pub:
    with Subscriber(pub.endpoint, high_water_mark=1_000) as sub:
        pub.wait_for_subscribers(timeout=30)
        sender = threading.Thread(target=flood)
        sender.start()
        gaps, real = 0, sys.stdout
        for _ in range(30):
            sys.stdout = sink = io.StringIO()
            try:
                listen_until_the_alarm(0.03, 30)
            finally:
                sys.stdout = real
            numbers = [*map(int, sink.getvalue().split())]
            gaps += numbers != [*range(numbers[0], numbers[-1] + 1)] if numbers else 0
        pub.close()
        sender.join()
print(gaps, raised, passed)
"""
    assert run_python(script) == (0, "0 30 30\n", "")


def test_listen_raises_the_exception_of_a_signal_handler(run_python: RunPython) -> None:
    finished = run_python(
        """
        import signal
        from tests.helpers.timeouts import interrupt_when_blocked
        from zmqchat_rs import Subscriber

        class Stop(Exception):
            pass

        mine = Stop("by hand", 7)

        def handler(number, frame):
            raise mine

        signal.signal(signal.SIGTERM, handler)
        with Subscriber("127.0.0.1:1") as sub:
            interrupt_when_blocked(signal.SIGTERM)
            def wait_here():
                sub.listen()
            try:
                wait_here()
            except Stop as error:
                print(error is mine)
        """
    )
    assert finished == (0, "True\n", "")


@pytest.mark.parametrize("kind", ["a path", "a transcript"])
def test_printed_messages_can_be_logged_to_a_transcript(
    topic_pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "chat.log"
    topic_pair.publisher.send("Hello", topic="room1")
    topic_pair.publisher.send("two\nlines \x1b[31m")
    log = Transcript(path)
    target = log if kind == "a transcript" else path
    assert (
        topic_pair.subscriber.listen(count=2, timeout=TIMEOUT, timestamps="none", log=target) == 2
    )
    assert capsys.readouterr().out == "room1: Hello\ntwo\\nlines \\x1b[31m\n"
    assert log.closed is False
    log.close()
    assert [(message.topic, message.text) for message in read_transcript(path)] == [
        ("room1", "Hello"),
        (None, "two\nlines \x1b[31m"),
    ]


def test_a_failing_transcript_is_reported_once_and_printing_continues(
    pair: Pair,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "removed"
    folder.mkdir()
    with Transcript(folder / "chat.log") as log:
        shutil.rmtree(folder)
        pair.publisher.send_many(["one", "two"])
        with caplog.at_level(logging.WARNING, "zmqchat_rs"):
            pair.subscriber.listen(count=2, timeout=TIMEOUT, timestamps="none", log=log)
    assert capsys.readouterr().out == "one\ntwo\n"
    assert caplog.text.count("not logged") == 1
    assert str(folder) in caplog.text
