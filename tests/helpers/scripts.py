"""Scripts that run in an interpreter of their own, with a deadline, and how they ended."""

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
    """How a script ended: a negative `code` is the signal that killed it."""

    code: int
    stdout: str
    stderr: str


class Script:
    """A Python script that runs beside the test; what it prints is read line by line."""

    def __init__(self, path: Path, text: str, arguments: tuple[str, ...]) -> None:
        # A file, not `-c`: multiprocessing's spawn imports the main module once more.
        path.write_text(dedent(text), encoding="utf-8")
        search = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        # Forking beside libzmq's threads is what the tests are about; 3.12 warns of it.
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
        """What it has printed so far."""
        return "".join(self._stdout)

    def line(self) -> str:
        """The next line that it prints."""
        line = self._lines.get(timeout=TIMEOUT)
        if line is None:
            finished = self.finish()
            raise AssertionError(f"the script ended, {finished.code}: {finished.stderr}")
        return line

    def read_until(self, pattern: str) -> str:
        """The next line that it prints in which this pattern is found."""
        return next(line for line in iter(self.line, None) if re.search(pattern, line))

    def send_line(self, line: str) -> None:
        """Send it a line on standard input."""
        self._stdin.write(f"{line}\n".encode())
        self._stdin.flush()

    def kill(self) -> None:
        """End it as a power cut would, with no chance to say good-bye."""
        self._process.kill()
        self._process.wait(TIMEOUT)

    def interrupt(self) -> Finished:
        """Send it Ctrl+C and wait for its end."""
        self._process.send_signal(signal.SIGINT)
        return self.finish()

    def finish(self, deadline: float = TIMEOUT) -> Finished:
        """Wait for its end."""
        late = False
        try:
            code = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            late = True
            self._process.kill()
            code = self._process.wait(TIMEOUT)
        for reader in self._readers:
            # Grandchildren may hold the pipes open a little longer.
            reader.join(TIMEOUT)
        finished = Finished(code, "".join(self._stdout), "".join(self._stderr))
        assert not late, f"the script did not end within {deadline:g} s: {finished}"
        return finished

    def clean_up(self) -> None:
        """Leave no process and no pipe behind."""
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
