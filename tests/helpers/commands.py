"""The command `zmqchat` and other programs, run to their end or beside the test, in pipes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
from typing import IO, Any, Iterator, Sequence
from unittest import mock

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Publisher, Subscriber, _core
from zmqchat_rs.cli.main import main

#: After how many seconds a missing peer is reported: in programs, and under `short_silence`.
SILENCE = 3.0
SHORT_SILENCE = 0.3

#: How `zmqchat` is started.
COMMAND = [sys.executable, "-m", "zmqchat_rs"]

_COLOR_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHON_COLORS")
_LIFETIME = 2 * TIMEOUT

# A shell that starts pytest in the background makes its children ignore Ctrl+C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def short_silence() -> Iterator[None]:
    """Report a missing peer after 0.3 s instead of 3 s, here and in `zmqchat` started meanwhile."""
    global COMMAND  # noqa: PLW0603 - each test process runs one test at a time
    script = (
        "import sys; from zmqchat_rs import __main__, _core; "
        f"_core._set_silence({SHORT_SILENCE}); sys.exit(__main__.main())"
    )
    usual, COMMAND = COMMAND, [sys.executable, "-c", script]
    _core._set_silence(SHORT_SILENCE)
    try:
        yield
    finally:
        _core._set_silence(SILENCE)
        COMMAND = usual


def environment(**changes: str) -> dict[str, str]:
    """The tests' environment with `changes`, without the variables that decide about colour."""
    kept = {name: value for name, value in os.environ.items() if name not in _COLOR_VARIABLES}
    return {**kept, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **changes}


def zmqchat(*words: str, stdin: bytes = b"", **changes: str) -> subprocess.CompletedProcess[bytes]:
    """Run `zmqchat` with these arguments to its end."""
    return subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        timeout=_LIFETIME,
        env=environment(**changes),
        check=False,
    )


def zmqchat_in_process(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run `zmqchat` in this process: for arguments that end in a usage error or a help text."""
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    redirected = contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr)
    with redirected[0], redirected[1], mock.patch.dict(os.environ, environment(), clear=True):
        code = main(words)
    for stream in (stdout, stderr):
        stream.flush()
    written = [stream.buffer.getvalue() for stream in (stdout, stderr)]
    return subprocess.CompletedProcess(words, code, *written)


def start(*words: str, stdout: int | IO[bytes] = subprocess.PIPE, **changes: str) -> Running:
    """Start `zmqchat` with these arguments."""
    return Running([*COMMAND, *words], environment(**changes), stdout=stdout)


def start_shell(line: str, *words: str) -> Running:
    """Start a line of shell in which ``"$@"`` is `zmqchat` with these arguments."""
    return Running(["sh", "-c", line, "sh", *COMMAND, *words], environment())


def start_script(script: str, *words: str) -> Running:
    """Start a Python program."""
    return Running([sys.executable, "-u", "-c", script, *words], environment())


@contextlib.contextmanager
def running_sub(publisher: Publisher, *words: str, **changes: str) -> Iterator[Running]:
    """`zmqchat sub` that has connected and subscribed to this publisher."""
    command = start("sub", publisher.addresses[0], *words, stdout=subprocess.PIPE, **changes)
    with command as sub:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        yield sub


@contextlib.contextmanager
def subscriber_to(pub: Running, **options: Any) -> Iterator[Subscriber]:
    """A subscriber to a `zmqchat pub --bind 127.0.0.1:0`, at its printed address."""
    with Subscriber(printed_address(pub), **options) as subscriber:
        yield subscriber


def printed_address(running: Running) -> str:
    """The address in the notice with the command for other hosts."""
    notice = running.notice()
    found = re.search(r"zmqchat (?:sub|pub --connect) ([^\s\x1b]+)", notice)
    assert found, notice
    return found.group(1)


class Running:
    """A program that runs beside the test, killed at the end of the block or of its lifetime."""

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=environment
        )
        assert self.process.stdin is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        #: The lines of its standard output that were read so far.
        self.printed: list[str] = []
        self._timer = threading.Timer(_LIFETIME, self.process.kill)
        self._timer.start()

    @property
    def stderr(self) -> IO[bytes]:
        assert self.process.stderr is not None
        return self.process.stderr

    def type(self, data: bytes) -> None:
        """Write to its standard input."""
        self.stdin.write(data)
        self.stdin.flush()

    def line(self) -> str:
        """Read a line of its standard output; "" at its end."""
        assert self.stdout is not None
        line = self.stdout.readline().decode()
        if line:
            self.printed.append(line.rstrip("\n"))
        return line.rstrip("\n")

    def shows(self, expected: str) -> bool:
        """Read lines until one contains this text; false when the output ends first."""
        assert expected, "every line contains the empty text"
        assert self.stdout is not None
        for line in iter(self.stdout.readline, b""):
            self.printed.append(line.decode().rstrip("\n"))
            if expected in self.printed[-1]:
                return True
        return False

    def notice(self) -> str:
        """Read a line of its standard error."""
        return self.stderr.readline().decode().rstrip("\n")

    def wait(self) -> int:
        """Wait for its end, with its input open, and return the exit code."""
        return self.process.wait(_LIFETIME)

    def finish(self) -> tuple[int, str, str]:
        """Close its input and wait for its end.

        Returns:
            The exit code, and what was not read yet of stdout and stderr.
        """
        self.stdin.close()
        out = "" if self.stdout is None else self.stdout.read().decode()
        errors = "" if self.process.stderr is None else self.stderr.read().decode()
        return self.wait(), out, errors

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, self.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
