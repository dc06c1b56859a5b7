"""Costs that no limit bounds, and losses over ipc: `python -m benches.limits`. Linux only.

Each figure comes from a new process with one publisher or subscriber; its peer is a plain socket in
this process. docs/reliability.md explains the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator

from zmqchat_rs import Publisher, Relay, Subscriber

from .runs import ROOT
from .soak_monitor import TIMEOUT_SECONDS, open_resources, resident_kib, trim

if TYPE_CHECKING:
    from typing_extensions import Self

MIB = 1 << 20
LAST = b"the-end:"
# The data that flooding peers send repeatedly.
ATTACKS = {
    "toggles": b"".join(b"\0\x08\x01t%06d\0\x08\0t%06d" % (each, each) for each in range(2_000)),
    "duplicates": 4_000 * b"\0\x06\x01same:",
    "junk of 10 bytes": 4_000 * b"\0\x0a\x02junkjunk!",
}
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def measured_side(kind: str) -> None:
    """Runs one side and reports its resources on demand; exits when standard input ends."""
    side: Publisher | Subscriber = (
        Publisher("127.0.0.1:0", max_subscriptions=0)
        if kind == "publisher"
        else Subscriber(bind="127.0.0.1:0", max_message_bytes=MIB)
    )
    with side:
        print(side.endpoint, flush=True)
        for line in sys.stdin:
            if line == "wait\n" and isinstance(side, Publisher):
                side.wait_for_subscribers(1, topic="the-end", timeout=10 * TIMEOUT_SECONDS)
            trim()
            print(json.dumps([resident_kib(), open_resources()[0], len(side.peers)]), flush=True)


def flooded_sender(seconds: float) -> None:
    """Publishes to one subscriber while peers flood, and prints the longest send in seconds."""
    with Publisher("127.0.0.1:0", on_full="drop") as publisher:
        print(publisher.endpoint, flush=True)
        sys.stdin.readline()
        longest, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            publisher.send(b"x" * 100, topic="good")
            longest = max(longest, time.perf_counter() - began)
            time.sleep(0.001)
        print(longest, flush=True)


def run_relay() -> None:
    """Runs a relay until standard input ends."""
    with Relay("127.0.0.1:0", backend="127.0.0.1:0") as relay:
        print(relay.frontend, flush=True)
        print(relay.backend, flush=True)
        sys.stdin.read()


def run_sink() -> None:
    """Accepts connections and discards the received data."""
    ready = b"\x05READY\x0bSocket-Type\0\0\0\x04XPUB"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"tcp://127.0.0.1:{listener.getsockname()[1]}", flush=True)

        def read(connection: socket.socket) -> None:
            connection.sendall(GREETING + bytes([4, len(ready)]) + ready)
            while connection.recv(65_536):
                pass

        while True:
            connection, _ = listener.accept()
            threading.Thread(target=read, args=(connection,), daemon=True).start()


def run_flood(port: int, attack: str, peers: int) -> None:
    """Floods this port from this number of peers until standard input ends. Each reconnects."""

    def flood() -> None:
        while True:
            with contextlib.suppress(OSError, IndexError), peer(port, b"SUB") as connection:
                while True:
                    connection.sendall(ATTACKS[attack])

    for _ in range(peers):
        threading.Thread(target=flood, daemon=True).start()
    sys.stdin.read()


@contextlib.contextmanager
def helper(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """This program in another process, for one of its tasks."""
    command = [sys.executable, "-m", "benches.limits", *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def printed(process: subprocess.Popen[str]) -> str:
    """The next line of the process."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"the process ended, exit code {process.wait()}")
    return line


def port_of(endpoint: str) -> int:
    """The port of an endpoint."""
    return int(endpoint.rpartition(":")[2])


def relayed(publisher: Publisher, subscriber: Subscriber, seconds: float) -> float:
    """Messages of 100 bytes per second through a relay."""
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        publisher.send_many([b"x" * 100] * 100, topic="good")
        for _ in range(100):
            subscriber.recv(timeout=TIMEOUT_SECONDS)
        count += 100
    return count / (time.monotonic() - began)


def floods(peers: int, seconds: float) -> Iterator[str]:
    """Peers send without pause: the longest send, and what a relay forwards meanwhile."""
    for attack in ATTACKS:
        with helper("--task", "send", seconds) as sender:
            port = port_of(printed(sender))
            with Subscriber(f"127.0.0.1:{port}", topics=["good"]), helper(
                "--task", "flood", port, attack, peers
            ):
                assert sender.stdin is not None
                sender.stdin.write("\n")
                sender.stdin.flush()
                longest = float(printed(sender))
        with helper("--task", "relay") as relay, helper("--task", "sink") as sink:
            frontend, backend, elsewhere = printed(relay), printed(relay), printed(sink)
            with Publisher(connect=frontend) as publisher, Subscriber(
                backend, topics=["good"]
            ) as subscriber:
                publisher.wait_for_subscribers(1, topic="good", timeout=TIMEOUT_SECONDS)
                relayed(publisher, subscriber, 0.5)
                rates = []
                for target in (elsewhere, backend):
                    with helper("--task", "flood", port_of(target), attack, peers):
                        rates.append(relayed(publisher, subscriber, seconds))
        yield (
            f"{peers} peers send {attack} without pause: the longest send takes "
            f"{longest * 1_000:.1f} ms; a relay forwards {rates[1]:,.0f} messages per second, "
            f"{rates[1] / rates[0]:.0%} of those while the same peers flood a TCP sink"
        )


def publish_and_close(address: str, count: int) -> None:
    """Publishes `count` messages under "block" and closes at once."""
    with Publisher(address, on_full="block", high_water_mark=1_000, linger=30) as publisher:
        print(publisher.endpoint, flush=True)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT_SECONDS)
        publisher.send_many([b"x" * 100] * count)


class MeasuredProcess:
    """The process with the measured side."""

    def __init__(self, kind: str) -> None:
        command = [sys.executable, "-m", "benches.limits", "--side", kind]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._line().rpartition(":")[2])

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended, exit code {self._process.wait()}")
        return line

    def resources(self, command: str = "report") -> tuple[int, int, int]:
        """KiB of memory, descriptors, and peers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        memory, descriptors, peers = json.loads(self._line())
        return memory, descriptors, peers

    def memory_when(self, condition: Callable[[tuple[int, int, int]], bool]) -> int:
        """KiB of memory once the condition holds, or after the timeout."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            found = self.resources()
            if condition(found) or time.monotonic() > deadline:
                return found[0]
            time.sleep(0.05)

    def memory_at_rest(self, before: int, most: int) -> int:
        """KiB of memory once all peers have disconnected and most of their memory is released."""
        half = (before + most) / 2
        return self.memory_when(lambda found: found[2] == 0 and found[0] < half)

    def descriptors(self) -> int:
        """The number of open descriptors, read without the process."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def __enter__(self) -> Self:
        """Returns the process, which is already running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the process."""
        self._process.communicate()


@contextlib.contextmanager
def peer(port: int, kind: bytes) -> Iterator[socket.socket]:
    """A plain socket after the ZMTP handshake."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        connection.sendall(GREETING + bytes([4, len(body)]) + body)
        connection.recv(64, socket.MSG_WAITALL)
        size = connection.recv(2, socket.MSG_WAITALL)[1]
        connection.recv(size, socket.MSG_WAITALL)
        yield connection


def subscriptions(count: int) -> str:
    """One peer subscribes to `count` prefixes of 20 bytes."""
    with MeasuredProcess("publisher") as publisher:
        before = publisher.resources()[0]
        began = time.monotonic()
        with peer(publisher.port, b"SUB") as connection:
            for start in range(0, count, 1_000):
                numbers = range(start, min(start + 1_000, count))
                connection.sendall(b"".join(b"\x00\x15\x01%020d" % each for each in numbers))
            connection.sendall(bytes([0, len(LAST) + 1, 1]) + LAST)
            most = publisher.resources("wait")[0]
            took = time.monotonic() - began
        left = publisher.memory_at_rest(before, most) - before
    grown = most - before
    return (
        f"{count:,} subscriptions of 20 bytes by one peer: the publisher grows by "
        f"{grown / 1024:,.0f} MiB ({grown * 1024 / count:.0f} bytes each) in {took:.1f} s; "
        f"{left / 1024:,.0f} MiB remain after the peer has disconnected"
    )


def endless_message(mebibytes: int) -> str:
    """One peer sends frames of 1 MiB, each marked as not the last of its message."""
    with MeasuredProcess("subscriber") as subscriber:
        before = subscriber.resources()[0]
        frame = b"\x03" + MIB.to_bytes(8, "big") + b"x" * MIB
        with peer(subscriber.port, b"PUB") as connection:
            for _ in range(mebibytes):
                connection.sendall(frame)
            # Waits for data that is still in transit.
            most = subscriber.memory_when(lambda found: found[0] - before > (mebibytes - 1) * 1024)
        left = subscriber.memory_at_rest(before, most) - before
    return (
        f"a message that does not end, {mebibytes} frames of 1 MiB, max_message_bytes 1 MiB: the "
        f"subscriber grows by {(most - before) / 1024:,.0f} MiB; {left / 1024:,.0f} MiB remain "
        "after the peer has disconnected"
    )


def hang_up(port: int, seconds: float) -> int:
    """Connects and resets as fast as possible; returns the number of connections."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(50):
            connection = socket.socket()
            # A reset: otherwise no local port is left after a while.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                connection.connect(("127.0.0.1", port))
                count += 1
            connection.close()
    return count


def tight_loop(seconds: float) -> str:
    """Peers connect and disconnect as fast as possible."""
    workers = os.cpu_count() or 1
    with MeasuredProcess("publisher") as publisher, ProcessPoolExecutor(workers) as pool:
        # All processes have started before the measurement.
        list(pool.map(hang_up, [publisher.port] * workers, [0.1] * workers))
        before = most = publisher.resources()[1]
        calls = [pool.submit(hang_up, publisher.port, seconds) for _ in range(workers)]
        while not all(call.done() for call in calls):
            most = max(most, publisher.descriptors())
            time.sleep(0.01)
        count, ended = sum(call.result() for call in calls), time.monotonic()
        while publisher.descriptors() > before and time.monotonic() - ended < TIMEOUT_SECONDS:
            time.sleep(0.02)
        took = time.monotonic() - ended
        left = max(0, publisher.descriptors() - before)
    return (
        f"connect and disconnect, {count / seconds:,.0f} times per second for {seconds:g} s: the "
        f"publisher holds up to {most - before:,} descriptors more; {left} are left {took:.1f} s "
        "after the end"
    )


def own_loop(seconds: float) -> str:
    """A `Subscriber` connects and disconnects as fast as possible."""
    with MeasuredProcess("publisher") as publisher, Subscriber() as subscriber:
        address = f"127.0.0.1:{publisher.port}"
        before = most = open_resources()[0]
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            for _ in range(100):
                subscriber.connect(address)
                subscriber.disconnect(address)
            count += 100
            most = max(most, open_resources()[0])
        rate, ended = count / (time.monotonic() - began), time.monotonic()
        while open_resources()[0] > before and time.monotonic() - ended < TIMEOUT_SECONDS:
            time.sleep(0.02)
        left, took = open_resources()[0] - before, time.monotonic() - ended
    return (
        f"Subscriber.connect and disconnect, {rate:,.0f} times per second for {seconds:g} s: up to "
        f"{most - before:,} descriptors more; {left} are left {took:.1f} s after the end"
    )


def received_of(address: str, count: int) -> int:
    """How many of `count` messages a subscriber receives that is slower than the publisher."""
    command = [sys.executable, "-m", "benches.limits", "--publish", address, str(count)]
    received = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with Subscriber(process.stdout.readline().strip(), high_water_mark=1_000) as subscriber:
            with contextlib.suppress(TimeoutError):
                while received < count:
                    subscriber.recv(timeout=2)
                    received += 1
                    if received % 1_000 == 0:
                        time.sleep(0.005)
            process.kill()
    return received


def tail(runs: int) -> str:
    """A publisher closes while its subscriber's queue is full; counts the lost messages."""
    count = 200_000
    with tempfile.TemporaryDirectory() as folder:
        addresses = {"ipc": f"ipc://{folder}/limits", "tcp": "127.0.0.1:0"}
        lost = {
            way: [count - received_of(address, count) for _ in range(runs)]
            for way, address in addresses.items()
        }
    found = "; ".join(
        f"{way} lost {', '.join(f'{each:,}' for each in missing)}" for way, missing in lost.items()
    )
    return f"{count:,} messages, the publisher closes at a full queue, {runs} runs: {found}"


async def _wait_idly(loops: int, seconds: float) -> float:
    """The share of a CPU that tasks use while they wait and no message is sent."""
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(Publisher("127.0.0.1:0"))
        assert publisher.endpoint is not None
        subscribers = [stack.enter_context(Subscriber(publisher.endpoint)) for _ in range(loops)]
        await publisher.await_for_subscribers(loops, timeout=TIMEOUT_SECONDS)

        async def listen(subscriber: Subscriber) -> None:
            async for _ in subscriber:
                raise RuntimeError("received a message although none was sent")

        tasks = [asyncio.create_task(listen(subscriber)) for subscriber in subscribers]
        # Excludes the cost of connecting.
        await asyncio.sleep(1)
        before = time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - before
        for task in tasks:
            task.cancel()
        return used / seconds


def idle_tasks(seconds: float) -> str:
    """The cost of an `async for` while no message is sent."""
    shares = [asyncio.run(_wait_idly(count, seconds)) for count in (1, 20)]
    one, twenty = (f"{share:.2%}" for share in shares)
    return f"asyncio, no message for {seconds:g} s: one `async for` {one} of a CPU, 20 {twenty}"


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.limits",
        description="Measure costs that no limit bounds, and losses over ipc.",
    )
    parser.add_argument(
        "--subscriptions",
        type=int,
        metavar="N",
        help="Measure only N subscriptions (default: 100,000 and 1,000,000).",
    )
    parser.add_argument("--side", choices=["publisher", "subscriber"], help=argparse.SUPPRESS)
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument(
        "--floods", action="store_true", help="Measure only peers that flood (default: everything)."
    )
    parser.add_argument("--publish", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not Path("/proc/self/fd").is_dir():
        sys.stderr.write("benches.limits needs Linux: it reads /proc\n")
        return 2
    if options.side:
        measured_side(options.side)
        return 0
    if options.publish:
        publish_and_close(options.publish[0], int(options.publish[1]))
        return 0
    if options.task:
        task, *values = options.task
        tasks: dict[str, Callable[..., None]] = {
            "send": lambda seconds: flooded_sender(float(seconds)),
            "relay": run_relay,
            "sink": run_sink,
            "flood": lambda port, attack, peers: run_flood(int(port), attack, int(peers)),
        }
        tasks[task](*values)
        return 0
    for count in (1, 10):
        for line in floods(count, 5):
            print(line, flush=True)
    if options.floods:
        return 0
    counts = [options.subscriptions] if options.subscriptions else [100_000, 1_000_000]
    for count in counts:
        print(subscriptions(count), flush=True)
    print(endless_message(200), flush=True)
    print(tight_loop(3), flush=True)
    print(own_loop(1), flush=True)
    print(tail(5), flush=True)
    print(idle_tasks(10), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
