"""Transcripts with full disks, missing folders, locks of other programs and interrupted writes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Message, Transcript, ZmqChatError, read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.scripts import RunPython, StartPython

LINE = "2026-01-31T12:03:11.000042+01:00 room1: "


def texts(path: Path) -> list[str]:
    return [message.text for message in read_transcript(path)]


def test_lines_that_are_not_messages_are_skipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "chat.log"
    path.write_bytes(f"{LINE}one\nHello\n{LINE}two\n\0\0\0\n{LINE}three\n".encode())
    with read_transcript(path) as reader:
        assert [message.text for message in reader] == ["one", "two", "three"]
        assert reader.skipped == 2
    (record,) = caplog.records
    expected = f"line 2 of '{path}' is not a complete message; such lines are skipped"
    assert record.message == expected


def test_a_write_without_its_folder_raises_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "chat.log"
    path.parent.mkdir()
    with Transcript(path) as log:
        log.write(Message([b"one"]))
        path.parent.rename(tmp_path / "elsewhere")
        for _ in range(2):
            with pytest.raises(ZmqChatError, match=re.escape(f"'{path}'")) as error:
                log.write(Message([b"two"]))
            assert "check that its folder exists" in str(error.value)
        path.parent.mkdir()
        log.write(Message([b"three"]))
        assert log.count == 2
    assert texts(path) == ["three"]
    assert texts(tmp_path / "elsewhere" / "chat.log") == ["one"]


def test_a_file_size_limit_loses_no_earlier_line(tmp_path: Path, run_python: RunPython) -> None:
    path = tmp_path / "chat.log"
    script = """
        import resource, sys
        from zmqchat_rs import Message, Transcript, ZmqChatError

        _, hard_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        log = Transcript(sys.argv[1])
        log.write(Message([b"one"]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard_limit))
        for write in (log.write, lambda message: log.write_many([message, message])):
            try:
                write(Message([b"x" * 2000]))
            except ZmqChatError as error:
                print(sys.argv[1] in str(error), log.count)
        log.write(Message([b"two"]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard_limit, hard_limit))
        log.write(Message([b"x" * 2000]))
        assert log.repaired == 0
    """
    assert run_python(script, str(path)) == (0, "True 1\nTrue 1\n", "")
    assert texts(path) == ["one", "two", "x" * 2000]


FILLS_A_DISK = """
import os, sys
from zmqchat_rs import Message, Transcript, ZmqChatError, read_transcript

folder, sync, format = sys.argv[1:]
path = f"{folder}/chat.log"
filler = open(f"{folder}/filler", "wb")
filler.write(b"x" * 100_000)
filler.close()
log = Transcript(path, sync=sync, format=format)
written, failures = [], 0
while failures < 20:
    text = f"{len(written)} " + "x" * (500 + failures)
    try:
        if failures % 2:
            log.write(Message([text.encode()]))
        else:
            log.write_many([Message([text.encode()])])
        written.append(text)
    except ZmqChatError as error:
        assert error.errno == 28, error
        assert path in str(error) and "once there is free space" in str(error), error
        failures += 1
        with read_transcript(path) as reader:
            assert [m.text for m in reader] == written
            assert reader.skipped == 0
assert len(written) > 50, len(written)
os.unlink(f"{folder}/filler")
log.write(Message([b"again"]))
log.close()
assert log.count == len(written) + 1 and log.repaired == 0
assert [m.text for m in read_transcript(path)] == [*written, "again"]
print("done")
"""


@pytest.mark.parametrize(("sync", "format"), [("os", "text"), ("line", "jsonl"), ("disk", "text")])
def test_a_full_disk_loses_no_earlier_line(
    tmp_path: Path,
    sync: str,
    format: str,  # noqa: A002
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    in_namespace = _mount_namespace_command()
    mount = 'mount -t tmpfs -o size=200k small "$1" && shift && exec "$@"'
    program = [sys.executable, "-c", FILLS_A_DISK, str(folder), sync, format]
    finished = subprocess.run(
        [*in_namespace, "sh", "-c", mount, "sh", str(folder), *program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "done\n"), finished.stderr


def _mount_namespace_command() -> list[str]:
    """A command that runs a program in a mount namespace of its own."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        if (
            shutil.which(command[0])
            and not subprocess.run(
                [*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
            ).returncode
        ):
            return command
    pytest.skip("a small disk needs a mount namespace, which this user may not create")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_transcript_can_be_written_to_a_device() -> None:
    with Transcript("/dev/null", sync="line") as log:
        log.write(Message([b"one"]))
        log.flush()
        assert log.count == 1
    with Transcript("/dev/full") as log:
        with pytest.raises(ZmqChatError, match="'/dev/full'"):
            log.write(Message([b"one"]))
        assert log.count == 0


def test_a_signal_handler_may_write_while_another_program_holds_the_lock(
    tmp_path: Path, start_python: StartPython
) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "chat.log"
    script = start_python(
        """
        import signal, sys
        from tests.helpers.timeouts import interrupt_when_blocked
        from zmqchat_rs import Message, Transcript

        log = Transcript(sys.argv[1])
        print("open")
        input()

        def wait_here():
            log.write(Message([b"one"]))

        def handler(*_):
            print("in the handler")
            input()  # the lock is free when this returns
            log.write(Message([b"from the handler"]))
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, handler)
        interrupt_when_blocked()
        try:
            wait_here()
        except KeyboardInterrupt:
            print("interrupted")
        input()
        log.write(Message([b"two"]))
        """,
        str(path),
    )
    assert script.line() == "open"
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        script.send_line("go")
        assert script.line() == "in the handler"
    script.send_line("go")
    assert script.line() == "interrupted"
    script.send_line("go")
    assert script.finish() == (0, "open\nin the handler\ninterrupted\n", "")
    assert texts(path) == ["from the handler", "two"]


def test_with_sync_disk_unsaved_lines_are_saved_at_exit(
    tmp_path: Path, traced: Callable[..., list[str]]
) -> None:
    script = "log = Transcript(path, sync='disk'); log.write(Message([b'one']))"
    assert traced(script) == ["fsync", "write", "fdatasync"]
    assert texts(tmp_path / "chat.log") == ["one"]


def test_each_sync_level_calls_fdatasync_as_often_as_documented(
    traced: Callable[..., list[str]],
) -> None:
    write = "[log.write(Message([b'one'])) for _ in range(3)]; log.close()"
    many = "log.write_many([Message([b'one'])] * 3); log.close()"
    assert traced(f"log = Transcript(path); {write}") == ["write"] * 3
    assert traced(f"log = Transcript(path, sync='line'); {write}") == ["write", "fdatasync"] * 3
    assert traced(f"log = Transcript(path, sync='line'); {many}") == ["write", "fdatasync"]
    saved = traced(f"log = Transcript(path, sync='disk'); {write}")
    assert saved[-1] == "fdatasync"
    assert saved.count("write") == 3


def test_a_line_that_the_disk_refuses_to_save_is_written_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    script = """
import sys
from zmqchat_rs import Message, Publisher, Relay, Subscriber, Transcript, ZmqChatError

def write(log):
    for call in (log.write, lambda message: log.write_many([message])):
        try:
            call(Message([b"one"]))
        except ZmqChatError as error:
            assert error.errno == 5, error
            print(log.count, error)

log = Transcript(sys.argv[1], sync="line")
write(log)
with Relay("127.0.0.1:0", backend="127.0.0.1:0", capture=log) as relay:
    with Publisher(connect=relay.frontend) as publisher:
        publisher.wait_for_subscribers(timeout=30)
        publisher.send("two")
        while relay.stats().captured + relay.stats().capture_skipped == 0:
            pass
    print(relay.stats().captured, relay.stats().capture_skipped)
log.close()
log = Transcript(sys.argv[1], sync="disk")
log.write(Message([b"three"]))
try:
    log.flush()
except ZmqChatError as error:
    print(log.count, error)
calls = 0
try:
    while True:
        calls += 1
        log.write(Message([b"four"]))
except ZmqChatError as error:
    print(log.count - calls, error)
"""
    finished = run_with_failing_call("fdatasync", script, path)
    error = (
        f"[Errno 5] cannot save '{path}': Input/output error; the lines since the last save are in "
        "the file, but a power failure may remove them"
    )
    expected = [f"1 {error}", f"2 {error}", "1 0", f"1 {error}", f"1 {error}"]
    assert finished.stdout.splitlines() == expected, finished.stderr
    assert texts(path)[:5] == ["one", "one", "two", "three", "four"]


def run_with_failing_call(call: str, script: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in which a system call fails with EIO."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    strace = ["strace", "-f", "-o", "/dev/null", f"--trace={call}", f"--inject={call}:error=EIO"]
    finished = subprocess.run(
        [*strace, sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if "ptrace" in finished.stderr:
        pytest.skip("strace may not trace here")
    return finished


@pytest.fixture
def traced(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that runs a script and returns its system calls on `chat.log` and the folder."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")

    def run(script: str) -> list[str]:
        path, calls = tmp_path / "chat.log", tmp_path / "calls"
        strace = ["strace", "-f", "-y", "-o", str(calls), "-e", "trace=write,fsync,fdatasync"]
        program = f"from zmqchat_rs import Message, Transcript\npath = {str(path)!r}\n"
        finished = subprocess.run(
            [*strace, sys.executable, "-c", program + script],
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        if b"ptrace" in finished.stderr:
            pytest.skip("this system does not allow strace")
        assert finished.returncode == 0, finished.stderr
        names = (str(path), str(tmp_path))
        return [
            found[1]
            for line in calls.read_text().splitlines()
            for found in [re.search(r"(write|fsync|fdatasync)\(\d+<([^>]*)>", line)]
            if found and found[2] in names
        ]

    return run
