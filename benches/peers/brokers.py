"""The servers that some peers need, each started for one run and ended with it.

They are the run's own children, so that what they use of the CPU counts as the run's, not as
disturbance by others.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import Any, Iterator, Mapping, Sequence

TIMEOUT_SECONDS = 10.0


def redis() -> contextlib.AbstractContextManager[str]:
    """A redis-server without persistence and without a limit on a slow subscriber's buffer."""
    port = _free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0"]
    return _running(command, port, "redis")


def nats() -> contextlib.AbstractContextManager[str]:
    """A nats-server with its default options."""
    port = _free_port()
    return _running(["nats-server", "-a", "127.0.0.1", "-p", str(port)], port, "nats")


def channel(job: Mapping[str, Any]) -> str:
    """The name of a run's channel: a latency run has one for each direction."""
    return f"benches.{job.get('lane', 'all')}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, scheme: str) -> Iterator[str]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(process, port)
        yield f"{scheme}://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not accept connections")
        time.sleep(0.01)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
