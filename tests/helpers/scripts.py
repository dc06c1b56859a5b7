"""Scripts in interpreters of their own, with a timeout, and their results."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import IO, NamedTuple, Protocol

from tests.helpers.timeouts import TIMEOUT

_ROOT = str(Path(__file__).parents[2])


class Finished(NamedTuple):
    """The result of a script; a negative `code` is the signal that killed it."""

    code: int
    stdout: str
    stderr: str


class Script:
    """A Python script that runs beside the test; its output is read line by line."""

    def __init__(self, path: Path, text: str, arguments: tuple[str, ...]) -> None:
        # A file, not `-c`, because multiprocessing's spawn imports the main module again.
        path.write_text(dedent(text), encoding="utf-8")
        search = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        # The tests fork while libzmq's threads run; Python 3.12 warns about that.
        command = [sys.executable, "-W", "ignore:This process:DeprecationWarning"]
        self._process = subprocess.Popen(
            [*command, str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(search),
                "PYTHONUNBUFFERED": "1",
                "PYTHONIOENCODING": "utf-8",
                "PYTHONFAULTHANDLER": "1",
            },
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._stdout: list[str] = []
        self._stderr: list[str] = []
        self._readers = [
            _thread(self._read_lines, self._process.stdout),
            _thread(self._read_errors, self._process.stderr),
        ]

    def _read_lines(self, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode()
            self._stdout.append(text)
            self._lines.put(text.rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self, stream: IO[bytes]) -> None:
        self._stderr.extend(line.decode() for line in stream)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def printed(self) -> str:
        """Its output so far."""
        return "".join(self._stdout)

    def line(self) -> str:
        """Wait for the next line of its output."""
        line = self._lines.get(timeout=TIMEOUT)
        if line is None:
            finished = self.finish()
            raise AssertionError(f"the script ended, {finished.code}: {finished.stderr}")
        return line

    def read_until(self, pattern: str) -> str:
        """Wait for the next line of its output that has this pattern."""
        return next(line for line in iter(self.line, None) if re.search(pattern, line))

    def send_line(self, line: str) -> None:
        """Write a line to its standard input."""
        self._stdin.write(f"{line}\n".encode())
        self._stdin.flush()

    def kill(self) -> None:
        """Kill it, so that it cannot close its connections."""
        self._process.kill()
        self._process.wait(TIMEOUT)

    def interrupt(self) -> Finished:
        """Send it Ctrl+C and wait for its end."""
        self._process.send_signal(signal.SIGINT)
        return self.finish()

    def finish(self, deadline: float = TIMEOUT) -> Finished:
        """Wait until it ends; fail after `deadline` seconds."""
        late = False
        try:
            code = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            late = True
            self._process.kill()
            code = self._process.wait(TIMEOUT)
        for reader in self._readers:
            # Child processes of the script may keep the pipes open a little longer.
            reader.join(TIMEOUT)
        finished = Finished(code, "".join(self._stdout), "".join(self._stderr))
        assert not late, f"the script did not end within {deadline:g} s: {finished}"
        return finished

    def clean_up(self) -> None:
        """End the process and close the pipes."""
        if self._process.poll() is None:
            self.kill()
        for reader in self._readers:
            reader.join(TIMEOUT)
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _thread(target: object, stream: IO[bytes]) -> threading.Thread:
    assert callable(target)
    thread = threading.Thread(target=target, args=(stream,), daemon=True)
    thread.start()
    return thread


class StartPython(Protocol):
    """The fixture `start_python`."""

    def __call__(self, script: str, *arguments: str) -> Script: ...


class RunPython(Protocol):
    """The fixture `run_python`."""

    def __call__(self, script: str, *arguments: str, deadline: float = ...) -> Finished: ...
