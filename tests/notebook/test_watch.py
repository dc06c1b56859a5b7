"""`watch` receives in the background. Outside a notebook it prints the messages."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.commands import environment
from tests.helpers.screen import Screen
from tests.helpers.terminal import CTRL_D, Terminal, with_libedit
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import ClosedError, Publisher, Subscriber, Transcript, Watch, read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython


terminals = pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")


def watching_threads() -> int:
    return sum(thread.name == "zmqchat-watch" for thread in threading.enumerate())


def test_messages_are_received_while_the_program_does_something_else(
    topic_pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    live = topic_pair.subscriber.watch(timestamps="none")
    assert isinstance(live, Watch)
    assert live.running
    topic_pair.publisher.send("Hello", topic="room1")
    topic_pair.publisher.send("Bye")
    assert live.wait(2, timeout=TIMEOUT) == 2
    live.stop()
    assert [message.text for message in live.messages] == ["Hello", "Bye"]
    assert capsys.readouterr() == ("room1: Hello\nBye\n", "")
    assert repr(live) == "<Watch stopped, 2 messages>"
    assert watching_threads() == 0


def test_keep_limits_the_number_of_stored_messages(pair: Pair) -> None:
    for keep, expected in ((2, ["3", "4"]), (0, []), (None, ["0", "1", "2", "3", "4"])):
        with pair.subscriber.watch(keep=keep) as live:
            pair.publisher.send_many(map(str, range(5)))
            assert live.wait(5, timeout=TIMEOUT) == 5
        assert [message.text for message in live.messages] == expected
        assert live.received == 5


def test_the_subscriber_can_receive_after_the_watch_stops(pair: Pair) -> None:
    with pair.subscriber.watch() as live:
        assert live.running
    assert not live.running
    live.stop()
    pair.publisher.send("for you")
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "for you"


def test_a_second_watch_replaces_the_first(pair: Pair) -> None:
    first = pair.subscriber.watch()
    with pair.subscriber.watch() as second:
        assert (first.running, second.running) == (False, True)
        pair.publisher.send("Hello")
        second.wait(1, timeout=TIMEOUT)
    assert first.received == 0
    assert repr(first) == "<Watch replaced by a later one, 0 messages>"
    assert watching_threads() == 0


def test_two_subscribers_are_watched_at_the_same_time(pair: Pair) -> None:
    assert pair.publisher.endpoint is not None
    with Subscriber(pair.publisher.endpoint) as other:
        pair.publisher.wait_for_subscribers(2, timeout=TIMEOUT)
        with pair.subscriber.watch() as one, other.watch() as two:
            pair.publisher.send("Hello")
            assert one.wait(1, timeout=TIMEOUT) == two.wait(1, timeout=TIMEOUT) == 1


def test_closing_the_subscriber_ends_the_watch_and_its_waiting_calls(pair: Pair) -> None:
    live = pair.subscriber.watch()
    pair.subscriber.close()
    with pytest.raises(ClosedError, match=r"the subscriber was closed\) after 0 messages"):
        live.wait(1, timeout=TIMEOUT)
    assert not live.running
    assert live.error is None
    with pytest.raises(ClosedError, match="closed"):
        pair.subscriber.watch()


def test_wait_times_out_and_refuses_an_invalid_timeout(pair: Pair) -> None:
    with pair.subscriber.watch() as live:
        assert live.wait(0) == 0
        with pytest.raises(TimeoutError, match="0 of 3 messages arrived within the timeout: con"):
            live.wait(3, timeout=0.05)
        for senseless in (-1, float("nan")):
            with pytest.raises(ValueError, match="0 or more seconds"):
                live.wait(1, timeout=senseless)
        with pytest.raises(TypeError, match="timeout is a number, not str"):
            live.wait(1, timeout="x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"max_rows": 0}, "invalid max_rows 0: expected 1 or more"),
        ({"keep": -1}, "invalid keep -1: expected 0 or more"),
        ({"color": "pink"}, "invalid color 'pink'"),
        ({"timestamps": "soon"}, "invalid timestamps 'soon'"),
    ],
)
def test_an_invalid_option_is_refused(pair: Pair, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        pair.subscriber.watch(**arguments)
    assert watching_threads() == 0


def test_a_log_has_every_message(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with pair.subscriber.watch(log=path, keep=1) as live:
        pair.publisher.send_many(map(str, range(1_000)))
        live.wait(1_000, timeout=TIMEOUT)
    assert [message.text for message in read_transcript(path)] == [str(n) for n in range(1_000)]
    with Transcript(path) as transcript, pair.subscriber.watch(log=transcript) as live:
        pair.publisher.send("one more")
        live.wait(1, timeout=TIMEOUT)
        live.stop()
        assert not transcript.closed
        assert transcript.count == 1


def test_a_log_that_cannot_be_opened_raises(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot open"):
        pair.subscriber.watch(log=tmp_path / "none" / "chat.log")
    assert watching_threads() == 0


def test_a_log_on_a_full_disk_logs_a_warning(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with pair.subscriber.watch(log="/dev/full") as live:
        pair.publisher.send("Hello")
        live.wait(1, timeout=TIMEOUT)
    assert [message.text for message in live.messages] == ["Hello"]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["not logged"]


def test_an_exception_of_the_watch_thread_is_stored_and_reported(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    live = pair.subscriber.watch()

    def fail(_: object) -> None:
        raise RuntimeError("no screen")

    monkeypatch.setattr(live._view, "add", fail)
    pair.publisher.send("Hello")
    with pytest.raises(ClosedError, match="stopped by an error"):
        live.wait(2, timeout=TIMEOUT)
    assert isinstance(live.error, RuntimeError)
    assert "RuntimeError: no screen" in capsys.readouterr().err


def test_an_unreferenced_subscriber_is_closed_when_its_watch_stops(
    publisher: Publisher,
) -> None:
    live = Subscriber(str(publisher.endpoint)).watch()
    publisher.wait_for_subscribers(1, timeout=TIMEOUT)
    live.stop()
    wait_until(lambda: publisher.subscriber_count == 0, "the subscriber to go")


def test_a_program_that_watches_ends(run_python: RunPython) -> None:
    finished = run_python(
        """
        from zmqchat_rs import Publisher, Subscriber
        pub = Publisher("127.0.0.1:0")
        sub = Subscriber(pub.endpoint)
        pub.wait_for_subscribers(timeout=30)
        live = sub.watch(timestamps="none")
        pub.send("Hello")
        live.wait(1, timeout=30)
        """
    )
    assert finished == (0, "Hello\n", "")


def test_ctrl_c_ends_the_wait_and_not_the_watch(run_python: RunPython) -> None:
    finished = run_python(
        """
        from tests.helpers.timeouts import interrupt_when_blocked
        from zmqchat_rs import Publisher, Subscriber
        with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
            pub.wait_for_subscribers(timeout=30)
            live = sub.watch(timestamps="none")
            interrupt_when_blocked()
            def wait_here():
                while True:
                    live.wait(9)
            try:
                wait_here()
            except KeyboardInterrupt:
                pub.send("Hello")
                print(live.wait(1, timeout=30), live.running)
        """
    )
    assert (finished.code, finished.stderr) == (0, "")
    assert sorted(finished.stdout.splitlines()) == ["1 True", "Hello"]


def test_a_forked_child_can_watch_a_new_subscriber(run_python: RunPython) -> None:
    finished = run_python(
        """
        import os, sys
        from zmqchat_rs import Publisher, Subscriber
        pub = Publisher("127.0.0.1:0")
        sub = Subscriber(pub.endpoint)
        live = sub.watch()
        child = os.fork()
        if child == 0:
            assert not live.running
            with Publisher("127.0.0.1:0") as mine, Subscriber(mine.endpoint) as subscriber:
                mine.wait_for_subscribers(timeout=30)
                with subscriber.watch(timestamps="none") as own:
                    mine.send("in the child")
                    own.wait(1, timeout=30)
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(live.running)
        """
    )
    assert finished == (0, "in the child\nTrue\n", "")


def colorless(**changes: str) -> dict[str, str]:
    return environment(NO_COLOR="1", PYTHON_BASIC_REPL="1", **changes)


def watching(publisher: Publisher, *more: str) -> str:
    """Return a line of code that watches the messages of this test."""
    statements = [
        "import threading, zmqchat_rs",
        f"sub = zmqchat_rs.Subscriber({publisher.addresses[0]!r})",
        "live = sub.watch(timestamps='none')",
        *more,
    ]
    return "; ".join(statements) + "\r"


@terminals
def test_lines_are_printed_above_the_prompt_of_python(publisher: Publisher, tmp_path: Path) -> None:
    command = [sys.executable, "-q", "-i", "-c", "import readline"]
    with Terminal(command, colorless(PYTHON_HISTORY=str(tmp_path / "history"))) as python:
        python.expect(">>> ")
        python.type(watching(publisher))
        python.expect(r"\n>>> ")
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        python.type("6 * ")
        python.expect(r"6 \* ")
        # A message that arrives during typing is printed above the typed text.
        publisher.send("from afar")
        python.expect(r"\r\x1b\[Kfrom afar\r\n>>> 6 \* ")
        python.type("7\r")
        python.expect(r"\n42\r\n>>> ")
        # No prompt is drawn while a statement runs.
        python.type("print('go') or live.wait(2)\r")
        python.expect(r"\ngo\r\n")
        publisher.send("meanwhile")
        python.expect(r"meanwhile\r\n2\r\n>>> ")
        python.type(CTRL_D)
        assert python.wait() == 0


def python_screen(
    tmp_path: Path, *words: str, basic: str = "", libedit: dict[str, str] | None = None
) -> Screen:
    """Python's interpreter in a terminal."""
    libedit = libedit or {}
    return Screen(
        "-q",
        *words,
        program=(sys.executable,),
        columns=120,
        PYTHON_HISTORY=str(tmp_path / "history"),
        PYTHON_BASIC_REPL=basic,
        PYTHONPATH=libedit.get("PYTHONPATH", ""),
        LD_PRELOAD=libedit.get("LD_PRELOAD", ""),
        NO_COLOR="1",
    )


def begin_watching(python: Screen, publisher: Publisher) -> None:
    python.type(watching(publisher, "print('it watches')"))
    python.until(lambda: python.rows[-2:] == ["it watches", ">>>"], "the prompt")
    publisher.wait_for_subscribers(1, timeout=TIMEOUT)
    python.type("6 * ")
    python.bottom(">>> 6 *")


@terminals
@pytest.mark.skipif(sys.version_info < (3, 13), reason="that editor came with 3.13")
def test_lines_are_printed_above_the_typed_text_in_the_editor_of_python_3_13(
    publisher: Publisher, tmp_path: Path
) -> None:
    with python_screen(tmp_path) as python:
        python.bottom(">>>")
        begin_watching(python, publisher)
        publisher.send("from afar")
        python.until(lambda: python.rows[-2:] == ["from afar", ">>> 6 *"], "the line above")
        python.type("7\r")
        python.until(lambda: python.rows[-2:] == ["42", ">>>"], "the result")
        # A statement of several lines is redrawn as a whole.
        python.type("for n in range(2):\rprint(n)")
        python.bottom("...     print(n)")
        publisher.send("into the block")
        block = [">>> for n in range(2):", "...     print(n)"]
        python.until(lambda: python.rows[-3:] == ["into the block", *block], "the line above")
        python.type("\r\r")
        python.until(lambda: python.rows[-3:] == ["0", "1", ">>>"], "the result")
        # No prompt is drawn while a statement runs.
        python.type("print('go') or live.wait(3)\r")
        python.shows("\ngo")
        publisher.send("meanwhile")
        python.until(lambda: python.rows[-3:] == ["meanwhile", "3", ">>>"], "the line below")
        python.type(CTRL_D)
        assert python.wait() == 0


@terminals
@pytest.mark.skipif(sys.version_info < (3, 13), reason="that editor came with 3.13")
def test_with_an_unknown_editor_messages_are_printed_on_separate_lines(
    publisher: Publisher, tmp_path: Path
) -> None:
    # For example a later Python with different internals.
    with python_screen(tmp_path) as python:
        python.bottom(">>>")
        python.type("from zmqchat_rs.display import python_prompt as p; p._Pyrepl = None\r")
        begin_watching(python, publisher)
        publisher.send("from afar")
        python.until(lambda: python.rows[-2:] == [">>> 6 *", "from afar"], "the line below")
        python.type("7\r")
        python.shows("42")
        python.type(CTRL_D)
        assert python.wait() == 0


@terminals
@pytest.mark.parametrize("library", [False, True])
def test_with_libedit_messages_do_not_change_the_typed_text(
    publisher: Publisher,
    tmp_path: Path,
    library: bool,  # noqa: FBT001
) -> None:
    libedit = with_libedit(tmp_path, library=library)
    words = ("-i", "-c", "import readline")
    with python_screen(tmp_path, *words, basic="1", libedit=libedit) as python:
        python.bottom(">>>")
        begin_watching(python, publisher)
        publisher.send("from afar")
        python.until(lambda: python.rows[-2:] == [">>> 6 *", "from afar"], "the line below")
        python.type("7\r")
        python.until(lambda: "42" in python.rows, "the result")
        # Before the next prompt, libedit ignores the end of the input.
        python.bottom(">>>")
        python.type(CTRL_D)
        assert python.wait() == 0


@terminals
def test_lines_are_printed_above_the_typed_text_in_ipython(
    publisher: Publisher, tmp_path: Path
) -> None:
    pytest.importorskip("IPython", reason="needs IPython")
    command = [sys.executable, "-m", "IPython", "--no-banner", "--no-confirm-exit"]
    with Terminal(command, colorless(IPYTHONDIR=str(tmp_path))) as ipython:
        ipython.expect(r"In \[")
        ipython.type(watching(publisher))
        ipython.expect(r"In \[[^\n]*2")
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        ipython.type("6 * ")
        ipython.expect(r"6(?:\x1b\[\d*m)* \*")  # IPython may draw each token separately
        publisher.send("from afar")
        ipython.expect("from afar")
        ipython.expect(r"In \[")
        ipython.type("7\r")
        ipython.expect("42")
        ipython.expect(r"In \[[^\n]*3")
        ipython.type("exit\r")
        assert ipython.wait() == 0


@terminals
def test_running_a_line_again_in_ipython_replaces_its_watch(
    publisher: Publisher, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    pytest.importorskip("IPython", reason="needs IPython")
    command = [sys.executable, "-m", "IPython", "--no-confirm-exit", "--simple-prompt"]
    line = watching(
        publisher,
        f"other = zmqchat_rs.Publisher('127.0.0.1:{free_port()}')",
        "names = [thread.name for thread in threading.enumerate()]",
        "print(names.count('zmqchat-watch'), 'watching')",
    )
    with Terminal(command, colorless(IPYTHONDIR=str(tmp_path))) as ipython:
        for number in range(1, 4):
            ipython.expect(rf"In \[{number}\]: ")
            ipython.type(line)
            ipython.expect("\n1 watching\r\n")
        publisher.send("from afar")
        ipython.expect("from afar\r\n")
        ipython.type("other.closed\r")
        ipython.expect("False")
        ipython.type("exit\r")
        assert ipython.wait() == 0
