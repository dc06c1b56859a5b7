"""A relay's capture: every forwarded message is written; a bad disk does not stop the relay."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import (
    ClosedError,
    Event,
    Publisher,
    Relay,
    Subscriber,
    Transcript,
    ZmqChatError,
    read_transcript,
)

if TYPE_CHECKING:
    from typing import Iterator

    from tests.helpers.scripts import RunPython, StartPython

HERE = "127.0.0.1:0"


def relay_here(capture: Any, **options: Any) -> Relay:
    return Relay(HERE, backend=HERE, **{"linger": 0, "capture": capture, **options})


def publish(relay: Relay, count: int, **options: Any) -> None:
    """Publish numbers without a subscriber, and wait until the relay has received them."""
    before = relay.stats().messages
    with Publisher(connect=str(relay.frontend), linger=TIMEOUT, **options) as publisher:
        publisher.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
        publisher.send_many([f"{number}\n\x1b" for number in range(count)], topic="room1")
        wait_until(lambda: relay.stats().messages == before + count)


@pytest.mark.parametrize("name", ["class.log", "class.jsonl"])
def test_messages_without_a_subscriber_are_captured(tmp_path: Path, name: str) -> None:
    with relay_here(tmp_path / name) as relay:
        publish(relay, 1_000, name="ann")
        relay.close(linger=TIMEOUT)
    with read_transcript(tmp_path / name) as reader:
        messages = list(reader)
    assert [message.text for message in messages] == [f"{n}\n\x1b" for n in range(1_000)]
    assert [message.sequence for message in messages] == list(range(1_000))
    assert {(message.topic, message.sender) for message in messages} == {("room1", "ann")}
    head = (tmp_path / name).read_bytes()[:1]
    assert (head == b"{") == name.endswith(".jsonl")


def test_a_transcript_stays_open_and_counts_the_captured_messages(tmp_path: Path) -> None:
    with Transcript(tmp_path / "class.log") as transcript:
        with relay_here(transcript) as relay, Subscriber(
            str(relay.backend), topics="room1"
        ) as subscriber:
            relay.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
            publish(relay, 10)
            for number in range(10):
                assert subscriber.recv(timeout=TIMEOUT).text == f"{number}\n\x1b"
            wait_until(lambda: relay.stats().captured == 10)
            assert relay.stats().capture_skipped == 0
        assert not transcript.closed
        assert transcript.count == 10


def test_a_relay_with_a_capture_file_that_cannot_be_opened_raises(tmp_path: Path) -> None:
    with pytest.raises(ZmqChatError, match="nowhere"):
        relay_here(tmp_path / "nowhere" / "class.log")
    (tmp_path / "thesis.txt").write_text("Chapter one")
    with pytest.raises(ValueError, match="not a transcript"):
        relay_here(tmp_path / "thesis.txt")
    closed = Transcript(tmp_path / "closed.log")
    closed.close()
    with pytest.raises(ClosedError):
        relay_here(closed)
    with pytest.raises(TypeError):
        relay_here(5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported_once_counted_and_does_not_stop_the_relay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    with ExitStack() as stack:
        stack.enter_context(caplog.at_level(logging.WARNING, "zmqchat_rs"))
        relay = stack.enter_context(relay_here("/dev/full", on_event=events.append))
        subscriber = stack.enter_context(Subscriber(str(relay.backend)))
        relay.wait_for_subscribers(timeout=TIMEOUT)
        for _ in range(3):
            publish(relay, 100)
            for _ in range(100):
                subscriber.recv(timeout=TIMEOUT)
            wait_until(lambda: relay.stats().capture_skipped == relay.stats().messages)
        assert relay.stats().capture_skipped == 300
        assert relay.stats().captured == 0
        wait_until(lambda: any(event.kind == "not logged" for event in events))
    texts = [record.getMessage() for record in caplog.records]
    warnings = [text for text in texts if "cannot log" in text]
    assert len(warnings) == 1
    assert "No space left" in warnings[0]
    assert "'/dev/full'" in warnings[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "small", str(tmp_path)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("a small tmpfs needs root")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill(path: Path) -> None:
    """Fill the file system."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 1024):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="needs a tmpfs")
def test_messages_before_a_full_disk_stay_readable_and_writing_continues_with_free_space(
    small_disk: Path,
) -> None:
    log, filler = small_disk / "class.log", small_disk / "filler"
    with relay_here(log) as relay:
        publish(relay, 100)
        wait_until(lambda: relay.stats().captured == 100)
        fill(filler)
        publish(relay, 2_000)
        wait_until(lambda: relay.stats().captured + relay.stats().capture_skipped == 2_100)
        skipped = relay.stats().capture_skipped
        assert skipped > 0
        os.truncate(filler, 0)
        publish(relay, 10)
        wait_until(lambda: relay.stats().captured + skipped == 2_110)
        relay.close(linger=TIMEOUT)
    with read_transcript(log) as reader:
        assert len(list(reader)) == 2_110 - skipped


def test_a_program_that_ends_without_close_has_written_all_forwarded_messages(
    run_python: RunPython, tmp_path: Path
) -> None:
    script = """
    import sys
    from zmqchat_rs import Publisher, Relay
    from tests.helpers.timeouts import wait_until

    relay = Relay("127.0.0.1:0", backend="127.0.0.1:0", capture=sys.argv[1])
    publisher = Publisher(connect=relay.frontend)
    publisher.wait_for_subscribers(topic="room1", timeout=30)
    publisher.send_many(["x"] * 5_000, topic="room1")
    wait_until(lambda: relay.stats().messages == 5_000)
    """
    log = tmp_path / "class.log"
    assert run_python(script, str(log)) == (0, "", "")
    with read_transcript(log) as reader:
        assert len(list(reader)) == 5_000


def test_a_killed_relay_leaves_whole_lines(start_python: StartPython, tmp_path: Path) -> None:
    script = """
    import sys
    from zmqchat_rs import Publisher, Relay

    relay = Relay("127.0.0.1:0", backend="127.0.0.1:0", capture=sys.argv[1])
    publisher = Publisher(connect=relay.frontend)
    publisher.wait_for_subscribers(topic="room1", timeout=30)
    while True:
        publisher.send_many(["x" * 50] * 100, topic="room1")
        if relay.stats().captured > 1_000:
            print("now")
    """
    log = tmp_path / "class.log"
    running = start_python(script, str(log))
    assert running.line() == "now"
    running.kill()
    with Transcript(log):
        # Opening the file repairs its last line.
        pass
    with read_transcript(log) as reader:
        texts = {message.text for message in reader}
        assert reader.skipped == 0
    assert texts == {"room1:" + "x" * 50}
