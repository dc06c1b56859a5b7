"""The scripts in `examples/` do what their first lines say, each in a process of its own."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Subscriber, read_transcript

if TYPE_CHECKING:
    from tests.helpers.scripts import Script, StartPython

EXAMPLES = Path(__file__).parents[2] / "examples"

# As `python examples/NAME.py` would; also under a shell whose children ignore Ctrl+C.
RUN = """
    import runpy, signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv.pop(0)
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def example(start_python: StartPython) -> Callable[..., Script]:
    """A function that starts an example with the arguments that a user would type."""

    def start(name: str, *arguments: str) -> Script:
        return start_python(RUN, str(EXAMPLES / name), *arguments)

    return start


Example = Callable[..., "Script"]


@pytest.mark.parametrize("publisher", ["publisher.py", "pyzmq_publisher.py"])
@pytest.mark.parametrize("subscriber", ["subscriber.py", "pyzmq_subscriber.py"])
def test_the_subscriber_example_prints_messages_of_the_publisher(
    example: Example, free_port: Callable[[], int], publisher: str, subscriber: str
) -> None:
    address = f"127.0.0.1:{free_port()}"

    def typed(name: str) -> str:
        return f"tcp://{address}" if name.startswith("pyzmq") else address

    receiving = example(subscriber, typed(subscriber), "room7")
    sending = example(publisher, typed(publisher), "room7")
    first = int(receiving.read_until(r"room7: Hello number \d+$").rpartition(" ")[2])
    receiving.read_until(f"room7: Hello number {first + 1}$")
    if publisher == "publisher.py":
        assert first == 1  # the subscriber received the first message
        sending.read_until("sent 2 to 1 subscribers")
    for running in (receiving, sending):
        code, _, errors = running.interrupt()
        assert (code, errors) == (0, "")


@pytest.mark.parametrize("name", ["publisher.py", "sensor_feed.py"])
def test_ctrl_c_ends_a_publisher_that_waits_for_a_subscriber(
    example: Example, free_port: Callable[[], int], name: str
) -> None:
    address = f"127.0.0.1:{free_port()}"
    sending = example(name, address)
    sending.read_until(address)
    code, printed, errors = sending.interrupt()
    assert (code, errors) == (0, "")
    assert printed.count("\n") >= 2  # the address, and the closing line


def test_two_programs_send_and_receive_at_the_same_time(
    example: Example, free_port: Callable[[], int]
) -> None:
    alice_s, bob_s = (f"127.0.0.1:{free_port()}" for _ in range(2))
    alice = example("both_ways.py", "alice", bob_s, alice_s)
    alice.read_until(f"You are alice at {alice_s}")
    bob = example("both_ways.py", "bob", alice_s, bob_s)
    bob.read_until(f"You are bob at {bob_s}")
    # Both programs send a line repeatedly until the other one has received it.
    for sender, name, receiver in ((alice, "alice", bob), (bob, "bob", alice)):

        def received(
            sender: Script = sender, name: str = name, receiver: Script = receiver
        ) -> bool:
            sender.send_line(f"Hello from {name}")
            return f"{name}: Hello from {name}\n" in receiver.printed

        wait_until(received, f"a line of {name} to be received")
        sender.send_line("é\tlast")
        receiver.read_until(f"^{name}: é\tlast$")
    for running in (alice, bob):
        code, _, errors = running.interrupt()
        assert (code, errors) == (0, "")


def test_asyncio_sends_and_receives_in_one_thread(
    example: Example, free_port: Callable[[], int]
) -> None:
    one_s, other_s = (f"127.0.0.1:{free_port()}" for _ in range(2))
    one = example("asyncio_both.py", other_s, one_s)
    other = example("asyncio_both.py", one_s, other_s)
    for running, theirs in ((one, other_s), (other, one_s)):
        running.read_until(f"^me at {theirs}: Hello number 1$")  # the first one was received
        running.read_until(f"^me at {theirs}: Hello number 2$")
    for running in (one, other):
        code, printed, errors = running.interrupt()
        assert code == 0
        assert printed.endswith("Stopped.\n")
        # Before 3.11 asyncio itself prints a message if Ctrl+C interrupts a task during a step.
        if sys.version_info >= (3, 11):
            assert errors == ""


def test_the_keyword_filter_prints_messages_that_contain_the_word(example: Example) -> None:
    with Publisher("127.0.0.1:0") as pub:
        filtering = example("keyword_filter.py", "Pizza", str(pub.endpoint))
        pub.wait_for_subscribers(1, timeout=TIMEOUT)
        pub.send_many(["salad", "a PIZZA \x1b[31m", "soup"], topic="room1")
        pub.send("pizza", topic="room2")
        assert filtering.read_until("room1").endswith(r"room1: a PIZZA \x1b[31m")
        filtering.read_until("room2: pizza")
        code, printed, errors = filtering.interrupt()
    assert (code, errors) == (0, "")
    assert printed.endswith("2 of 4 messages contain 'pizza'.\n")


def test_the_logger_appends_received_messages_to_a_file(example: Example, tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    printed = ""
    with Publisher("127.0.0.1:0", name="alice") as pub:
        for number in range(2):
            logging = example("logger.py", str(path), str(pub.endpoint))
            pub.wait_for_subscribers(1, timeout=TIMEOUT)
            pub.send(f"Hello {number}\n", topic=f"room{number}")
            logging.read_until(rf"alice: Hello {number}\\n")
            code, printed, errors = logging.interrupt()
            assert (code, errors) == (0, "")
            assert f"1 messages were added to {path}\n" in printed
            wait_until(lambda: pub.subscriber_count == 0)
    assert printed.endswith("Topics in the whole file: room0 room1\n")
    assert [message.text for message in read_transcript(path)] == ["Hello 0\n", "Hello 1\n"]


def test_the_sensor_feed_sends_numbered_readings(
    example: Example, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address) as sub:
        sensor = example("sensor_feed.py", address, "cellar")
        sensor.read_until(address)
        first, second = (sub.recv(timeout=TIMEOUT) for _ in range(2))
        assert (first.topic, first.sender) == ("cellar", "cellar")
        assert second.sequence is not None
        assert first.sequence == second.sequence - 1
        reading = json.loads(second.text)
        assert set(reading) == {"celsius", "humidity"}
        code, printed, errors = sensor.interrupt()
    assert (code, errors) == (0, "")
    assert re.search(r"^\d+ readings were sent\.$", printed, re.MULTILINE)


@pytest.mark.parametrize("name", ["both_ways.py", "keyword_filter.py"])
def test_an_example_without_arguments_prints_its_usage(example: Example, name: str) -> None:
    code, _, errors = example(name).finish()
    assert code == 1
    assert errors.startswith(f"usage: python examples/{name} ")


def test_every_example_has_a_test_and_shows_its_command() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    for path in sorted(EXAMPLES.iterdir()):
        assert path.suffix == ".py"
        assert f'"{path.name}"' in here, path.name
        text = path.read_text(encoding="utf-8")
        assert f"python examples/{path.name}" in text, path.name
        assert len(text.splitlines()) <= 60, path.name
