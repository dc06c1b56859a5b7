"""Two hosts and the link between them, which is cut, restored, slow or lossy."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any, Iterator

import pytest

from tests.helpers import network_cable, network_namespaces
from tests.helpers.conditions import only_long
from tests.helpers.network_cable import Quality
from tests.helpers.network_namespaces import Hosts, two_hosts
from tests.helpers.timeouts import Background, wait_until

if TYPE_CHECKING:
    from tests.helpers.scripts import Script, StartPython

_MISSING = network_namespaces.missing()
pytestmark = pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))

PORT = 5555

#: Keep-alive promises 20 s; 5 s more allow for a slow machine.
DETECTED_WITHIN = 25.0

_numbers = itertools.count()

#: Publishes numbers until it reads a line from standard input, then reports how many it sent.
PUBLISHES = """
    import ast, itertools, json, sys, threading
    from tests.helpers.network_namespaces import enter

    host, address, options = sys.argv[1:]
    enter(host)
    from zmqchat_rs import Publisher

    filler, stop, pause = b"x" * 1_000, threading.Event(), threading.Event()

    def report(**fields):
        # One write per line, because two threads print.
        sys.stdout.write(json.dumps(fields) + "\\n")

    def report_event(event):
        report(event=event.kind, address=event.address)

    options = ast.literal_eval(options)
    with Publisher(address, name="alice", linger=30, on_event=report_event, **options) as publisher:
        report(event="ready")
        threading.Thread(target=lambda: (sys.stdin.readline(), stop.set())).start()
        publisher.wait_for_subscribers(1, timeout=30)
        for number in itertools.count():
            if stop.is_set():
                break
            publisher.send(b"%d " % number + filler)
            pause.wait(0.001)
        publisher.send("the end")
        report(event="sent", count=number)
"""

#: Reports each event, each hundredth message, and at the end the numbers of all messages.
RECEIVES = """
    import ast, json, sys
    from tests.helpers.network_namespaces import enter

    host, address, options = sys.argv[1:]
    enter(host)
    from zmqchat_rs import Subscriber

    def report(**fields):
        # One write per line, because two threads print.
        sys.stdout.write(json.dumps(fields) + "\\n")

    def report_event(event):
        states = [peer.state for peer in subscriber.peers]
        report(event=event.kind, address=event.address, states=states)

    numbers = []
    options = ast.literal_eval(options)
    subscriber = Subscriber(address, reconnect_max=0.5, on_event=report_event, **options)
    for message in subscriber:
        if message.data == b"the end":
            break
        numbers.append(int(message.data.partition(b" ")[0]))
        if len(numbers) % 100 == 0:
            report(event="received", count=len(numbers))
    stats = subscriber.stats()
    report(event="the end", numbers=numbers, lost=stats.lost)
    subscriber.close()
"""


class HostScript:
    """A script on one of the hosts; collects the lines that it prints."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.lines: list[dict[str, Any]] = []
        self._reading = Background(self._read)

    def _read(self) -> None:
        while True:
            self.lines.append(json.loads(self.script.line()))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """Return the line that reports this event for the given time."""

        def was_reported() -> bool:
            if len(self.of(event)) >= times:
                return True
            # `result` raises the error that ended the reading, if there was one.
            return self._reading.done and self._reading.result() is not None

        wait_until(was_reported, f"{event!r} after {self.lines[-3:]}")
        return self.of(event)[times - 1]

    def wait_for_messages(self, count: int = 300) -> None:
        before = len(self.of("received"))
        self.wait_for("received", before + count // 100)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with two_hosts(str(next(_numbers))) as hosts:
        yield hosts


def connect(
    start_python: StartPython, hosts: Hosts, on_full: str, **options: Any
) -> tuple[HostScript, HostScript]:
    """Run a publisher on the left host and a subscriber on the right, until messages arrive."""
    address = f"{hosts.left.address}:{PORT}"
    settings = {"keepalive": (1, 1, 3), **options}
    publisher_options = repr({**settings, "on_full": on_full})
    publisher = HostScript(start_python(PUBLISHES, hosts.left.name, address, publisher_options))
    publisher.wait_for("ready")
    subscriber = HostScript(start_python(RECEIVES, hosts.right.name, address, repr(settings)))
    subscriber.wait_for_messages()
    return publisher, subscriber


def finish(publisher: HostScript, subscriber: HostScript) -> tuple[int, list[int], int]:
    """Return the number of messages sent, the numbers received, and the number counted as lost."""
    publisher.script.send_line("stop")
    end = subscriber.wait_for("the end")
    sent = publisher.wait_for("sent")["count"]
    for each in (publisher, subscriber):
        finished = each.script.finish()
        assert finished.code == 0, finished
    return sent, end["numbers"], end["lost"]


@pytest.mark.parametrize("on_full", ["drop", "block"])
def test_a_cut_link_is_detected_and_the_stream_resumes_when_it_is_restored(
    start_python: StartPython, hosts: Hosts, on_full: str
) -> None:
    publisher, subscriber = connect(start_python, hosts, on_full)
    hosts.cut()
    start = time.monotonic()
    event = subscriber.wait_for("disconnected")
    assert time.monotonic() - start < DETECTED_WITHIN
    assert event["address"] == f"{hosts.left.address}:{PORT}"
    assert event["states"] == ["reconnecting"]
    hosts.restore()
    subscriber.wait_for("connected", times=2)
    subscriber.wait_for_messages()
    # With unacknowledged data, the publisher detects the cut at its next retransmission.
    publisher.wait_for("disconnected")
    sent, numbers, lost = finish(publisher, subscriber)
    assert numbers == sorted(set(numbers))
    # Messages queued in the broken connection are lost, and counted.
    assert len(numbers) + lost == sent


@only_long
def test_with_the_default_keepalive_a_cut_link_is_detected_within_twenty_seconds(
    start_python: StartPython, hosts: Hosts
) -> None:
    _, subscriber = connect(start_python, hosts, "drop", keepalive=(5, 4, 3))
    hosts.cut()
    start = time.monotonic()
    subscriber.wait_for("disconnected")
    assert time.monotonic() - start < DETECTED_WITHIN


@pytest.mark.parametrize("on_full", ["drop", "block"])
def test_a_brief_cut_loses_no_message(
    start_python: StartPython, hosts: Hosts, on_full: str
) -> None:
    publisher, subscriber = connect(start_python, hosts, on_full, high_water_mark=0)
    hosts.cut()
    # The cut lasts one second, because keep-alive ends the connection after about four.
    time.sleep(1)
    hosts.restore()
    subscriber.wait_for_messages()
    assert not subscriber.of("disconnected")
    sent, numbers, lost = finish(publisher, subscriber)
    assert numbers == list(range(sent))
    assert lost == 0


@pytest.mark.skipif(network_cable.missing() is not None, reason=str(network_cable.missing()))
@pytest.mark.parametrize(
    "quality",
    [
        Quality(delay=0.05, jitter=0.01),
        Quality(loss=0.05),
        Quality(delay=0.005, jitter=0.002, loss=0.02, doubled=0.02),
    ],
    ids=["slow", "lossy", "slow, lossy, doubling"],
)
def test_a_bad_link_loses_nothing_under_block(start_python: StartPython, quality: Quality) -> None:
    with two_hosts(str(next(_numbers)), quality) as hosts:
        publisher, subscriber = connect(start_python, hosts, "block")
        subscriber.wait_for_messages(1_000)
        sent, numbers, lost = finish(publisher, subscriber)
    assert numbers == list(range(sent))
    assert lost == 0


#: A chat that reports its notices and events and, after each line of input, the number of lost
#: messages. An empty line is not sent.
CHATS = """
    import json, sys
    from tests.helpers.network_namespaces import enter

    host, name, bind, peer = sys.argv[1:]
    enter(host)
    from zmqchat_rs import Chat

    def report(**fields):
        # One write per line, because two threads print.
        sys.stdout.write(json.dumps(fields) + "\\n")

    def report_notice(notice):
        report(event=notice.kind)

    def report_event(event):
        report(event="event", kind=event.kind, text=str(event))

    callbacks = {"on_notice": report_notice, "on_event": report_event}
    with Chat(name, bind=bind, peers=peer, heartbeat=0.5, **callbacks) as chat:
        report(event="ready")
        for line in sys.stdin:
            if line.strip():
                chat.say(line.strip())
            report(event="stats", lost=chat.stats().lost)
"""


def wait_for_presence(chat: HostScript, times: int) -> None:
    """Wait until the chat has reported the other member as present this many times."""
    wait_until(lambda: len(chat.of("come")) + len(chat.of("here")) == times, f"presence {times}")


def send_line(chat: HostScript, line: str) -> int:
    """Send the line if it is not empty; return the number of messages that the chat lost."""
    answers = len(chat.of("stats")) + 1
    chat.script.send_line(line)
    return int(chat.wait_for("stats", answers)["lost"])


@only_long
def test_after_a_cut_lost_lines_are_counted_and_lost_presence_messages_are_not(
    start_python: StartPython, hosts: Hosts
) -> None:
    left, right = (f"{host.address}:{PORT}" for host in hosts)
    alice = HostScript(start_python(CHATS, hosts.left.name, "alice", left, right))
    bob = HostScript(start_python(CHATS, hosts.right.name, "bob", right, left))

    def disconnections() -> int:
        return sum(line["kind"] == "disconnected" for line in bob.of("event"))

    for times, lines in ((1, 0), (2, 2)):
        for one in (alice, bob):
            wait_for_presence(one, times)
        send_line(alice, "before")
        before = disconnections()
        hosts.cut()
        for one in (alice, bob):
            one.wait_for("lost", times)
        wait_until(lambda: disconnections() > before, "bob to detect the cut")  # noqa: B023
        for number in range(lines):
            send_line(alice, f"lost {number}")
        hosts.restore()
        wait_for_presence(bob, times + 1)
        assert send_line(bob, "") == lines
    texts = [line["text"] for line in bob.of("event") if line["kind"] == "lost"]
    assert texts == ["lost 2 messages from alice: a connection was interrupted"]
