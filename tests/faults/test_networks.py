"""Two hosts with a cable between them that is pulled out, plugged in, slow or bad."""

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

#: What the promise allows: keep-alive's 20 s, and something for a slow machine.
NOTICED_WITHIN = 25.0

_numbers = itertools.count()

#: Publishes numbers until a line comes, then so many of them, tells what became of it, and ends.
SPEAKS = """
    import ast, itertools, json, sys, threading
    from tests.helpers.network_namespaces import enter

    host, address, options = sys.argv[1:]
    enter(host)
    from zmqchat_rs import Publisher

    filler, stop, pause = b"x" * 1_000, threading.Event(), threading.Event()

    def say(**words):
        # In one piece: two threads speak.
        sys.stdout.write(json.dumps(words) + "\\n")

    def tell(event):
        say(event=event.kind, address=event.address)

    options = ast.literal_eval(options)
    with Publisher(address, name="alice", linger=30, on_event=tell, **options) as publisher:
        say(event="ready")
        threading.Thread(target=lambda: (sys.stdin.readline(), stop.set())).start()
        publisher.wait_for_subscribers(1, timeout=30)
        for number in itertools.count():
            if stop.is_set():
                break
            publisher.send(b"%d " % number + filler)
            pause.wait(0.001)
        publisher.send("the end")
        say(event="sent", count=number)
"""

#: Tells every event, every hundredth message's number, and at the end all of them.
HEARS = """
    import ast, json, sys
    from tests.helpers.network_namespaces import enter

    host, address, options = sys.argv[1:]
    enter(host)
    from zmqchat_rs import Subscriber

    def say(**words):
        # In one piece: two threads speak.
        sys.stdout.write(json.dumps(words) + "\\n")

    def tell(event):
        states = [peer.state for peer in subscriber.peers]
        say(event=event.kind, address=event.address, states=states)

    numbers = []
    options = ast.literal_eval(options)
    subscriber = Subscriber(address, reconnect_max=0.5, on_event=tell, **options)
    for message in subscriber:
        if message.data == b"the end":
            break
        numbers.append(int(message.data.partition(b" ")[0]))
        if len(numbers) % 100 == 0:
            say(event="heard", count=len(numbers))
    stats = subscriber.stats()
    say(event="the end", numbers=numbers, lost=stats.lost)
    subscriber.close()
"""


class HostScript:
    """What a script prints, collected while it runs."""

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
        """Return that line; the script may take its time."""

        def told() -> bool:
            if len(self.of(event)) >= times:
                return True
            # Raises what ended it, if something did.
            return self._reading.done and self._reading.result() is not None

        wait_until(told, f"{event!r} after {self.lines[-3:]}")
        return self.of(event)[times - 1]

    def until_heard_more(self, count: int = 300) -> None:
        begin = len(self.of("heard"))
        self.wait_for("heard", begin + count // 100)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with two_hosts(str(next(_numbers))) as hosts:
        yield hosts


def connect(
    start_python: StartPython, hosts: Hosts, on_full: str, **options: Any
) -> tuple[HostScript, HostScript]:
    """A publisher on the left and a subscriber on the right, with a stream between them."""
    address = f"{hosts.left.address}:{PORT}"
    settings = {"keepalive": (1, 1, 3), **options}
    speaker = {**settings, "on_full": on_full}
    speaks = HostScript(start_python(SPEAKS, hosts.left.name, address, repr(speaker)))
    speaks.wait_for("ready")
    hears = HostScript(start_python(HEARS, hosts.right.name, address, repr(settings)))
    hears.until_heard_more()
    return speaks, hears


def finish(speaks: HostScript, hears: HostScript) -> tuple[int, list[int], int]:
    """How many were sent, which ones were heard, and how many are known to be lost."""
    speaks.script.send_line("stop")
    end = hears.wait_for("the end")
    sent = speaks.wait_for("sent")["count"]
    for each in (speaks, hears):
        finished = each.script.finish()
        assert finished.code == 0, finished
    return sent, end["numbers"], end["lost"]


@pytest.mark.parametrize("on_full", ["drop", "block"])
def test_a_cut_link_is_noticed_and_the_stream_picked_up_when_it_is_back(
    start_python: StartPython, hosts: Hosts, on_full: str
) -> None:
    speaks, hears = connect(start_python, hosts, on_full)
    hosts.cut()
    began = time.monotonic()
    noticed = hears.wait_for("disconnected")
    assert time.monotonic() - began < NOTICED_WITHIN
    assert noticed["address"] == f"{hosts.left.address}:{PORT}"
    assert noticed["states"] == ["reconnecting"]
    hosts.restore()
    hears.wait_for("connected", times=2)
    hears.until_heard_more()
    # The publisher learns of it, too; with data in flight as late as its next attempt to send them.
    speaks.wait_for("disconnected")
    sent, numbers, lost = finish(speaks, hears)
    assert numbers == sorted(set(numbers))
    # What the broken connection held is gone, and counted.
    assert len(numbers) + lost == sent


@only_long
def test_with_the_usual_keepalive_a_cut_link_is_noticed_within_twenty_seconds(
    start_python: StartPython, hosts: Hosts
) -> None:
    _, hears = connect(start_python, hosts, "drop", keepalive=(5, 4, 3))
    hosts.cut()
    began = time.monotonic()
    hears.wait_for("disconnected")
    assert time.monotonic() - began < NOTICED_WITHIN


@pytest.mark.parametrize("on_full", ["drop", "block"])
def test_a_brief_cut_costs_nothing(start_python: StartPython, hosts: Hosts, on_full: str) -> None:
    speaks, hears = connect(start_python, hosts, on_full, high_water_mark=0)
    hosts.cut()
    # The time without a link is the subject; keep-alive would take about four seconds to act.
    time.sleep(1)
    hosts.restore()
    hears.until_heard_more()
    assert not hears.of("disconnected")
    sent, numbers, lost = finish(speaks, hears)
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
        speaks, hears = connect(start_python, hosts, "block")
        hears.until_heard_more(1_000)
        sent, numbers, lost = finish(speaks, hears)
    assert numbers == list(range(sent))
    assert lost == 0


#: A chat that reports its notices, its events and, after each line of input, what it lost. An empty
#: line is not sent.
CHATS = """
    import json, sys
    from tests.helpers.network_namespaces import enter

    host, name, bind, peer = sys.argv[1:]
    enter(host)
    from zmqchat_rs import Chat

    def say(**words):
        # In one piece: two threads speak.
        sys.stdout.write(json.dumps(words) + "\\n")

    def notice(notice):
        say(event=notice.kind)

    def tell(event):
        say(event="event", kind=event.kind, text=str(event))

    with Chat(name, bind=bind, peers=peer, heartbeat=0.5, on_notice=notice, on_event=tell) as chat:
        say(event="ready")
        for line in sys.stdin:
            if line.strip():
                chat.say(line.strip())
            say(event="stats", lost=chat.stats().lost)
"""


def present(chat: HostScript, times: int) -> None:
    """Wait until the other chat was found present this often."""
    wait_until(lambda: len(chat.of("come")) + len(chat.of("here")) == times, f"presence {times}")


def say(chat: HostScript, line: str) -> int:
    """Have it send a line, or nothing; give how many messages it lost."""
    answers = len(chat.of("stats")) + 1
    chat.script.send_line(line)
    return int(chat.wait_for("stats", answers)["lost"])


@only_long
def test_presence_lost_with_the_cable_is_not_a_loss_and_lines_are(
    start_python: StartPython, hosts: Hosts
) -> None:
    left, right = (f"{host.address}:{PORT}" for host in hosts)
    alice = HostScript(start_python(CHATS, hosts.left.name, "alice", left, right))
    bob = HostScript(start_python(CHATS, hosts.right.name, "bob", right, left))

    def disconnections() -> int:
        return sum(line["kind"] == "disconnected" for line in bob.of("event"))

    for times, lines in ((1, 0), (2, 2)):
        for one in (alice, bob):
            present(one, times)
        say(alice, "before")
        before = disconnections()
        hosts.cut()
        for one in (alice, bob):
            one.wait_for("lost", times)
        wait_until(lambda: disconnections() > before, "bob to notice it")  # noqa: B023
        for number in range(lines):
            say(alice, f"lost {number}")
        hosts.restore()
        present(bob, times + 1)
        assert say(bob, "") == lines
    texts = [line["text"] for line in bob.of("event") if line["kind"] == "lost"]
    assert texts == ["lost 2 messages from alice: a connection was interrupted"]
