"""Binding an `ipc://` path never deletes a file, and only one binder succeeds."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, Union

import pytest

from tests.helpers.timeouts import TIMEOUT, Background
from zmqchat_rs import Chat, Publisher, Relay, Subscriber, ZmqChatError

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")

Bound = Union[Publisher, Subscriber, Relay, Chat]

BINDERS: dict[str, Callable[[str], Bound]] = {
    "publisher": Publisher,
    "publisher, second address": lambda address: Publisher(["127.0.0.1:0", address]),
    "subscriber": lambda address: Subscriber(bind=address),
    "frontend": lambda address: Relay(address, backend="127.0.0.1:0"),
    "backend": lambda address: Relay("127.0.0.1:0", backend=address),
    "chat": lambda address: Chat("alice", bind=address),
}
every_binder = pytest.mark.parametrize("bind", BINDERS.values(), ids=BINDERS)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Relative paths: a socket's path is short.
    folder = tmp_path / "ipc"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    # Each object has removed its own socket file and left no other file.
    assert names(folder) <= {"results.csv", "folder", "link", "pipe", "s"}


def names(folder: Path) -> set[str]:
    """The contents of a folder."""
    return {entry.name for entry in folder.iterdir()}


def leave_stale_socket(path: str) -> None:
    """Create the socket file that a killed program leaves behind."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)


def check_delivery(publisher: Publisher, address: str) -> None:
    """Check that a subscriber at this address receives a message of the publisher."""
    with Subscriber(address) as subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


@every_binder
def test_binding_the_path_of_a_file_raises_and_keeps_the_file(bind: Callable[[str], Bound]) -> None:
    results = Path("results.csv")
    results.write_text("a,b", encoding="utf-8")
    with pytest.raises(ZmqChatError, match=r"results\.csv: a file has this path") as caught:
        bind("ipc://results.csv")
    assert caught.value.errno == errno.EEXIST
    assert results.read_text(encoding="utf-8") == "a,b"


def test_the_error_names_a_directory_or_a_pipe_at_the_path() -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    for path, what in (("folder", "a directory"), ("folder/", "a directory"), ("pipe", "a named")):
        with pytest.raises(ZmqChatError, match=what) as caught:
            Publisher(f"ipc://{path}")
        assert "in use" not in str(caught.value)
    with pytest.raises(ZmqChatError, match="does not exist"):
        Publisher("ipc://nowhere/s")


@every_binder
def test_binding_a_path_that_this_program_uses_raises(bind: Callable[[str], Bound]) -> None:
    with Publisher("ipc://s") as first:
        for address in ("ipc://s", "ipc://./s", "ipc://../ipc/s"):
            with pytest.raises(ZmqChatError, match="in use by another Publisher") as caught:
                bind(address)
            assert caught.value.errno == errno.EADDRINUSE
            assert "port" not in str(caught.value)
        check_delivery(first, "ipc://s")
    with bind("ipc://s"):
        pass


@every_binder
def test_binding_a_path_that_another_program_uses_raises(
    bind: Callable[[str], Bound], start_python: StartPython
) -> None:
    other = start_python(f"""
import os, sys
from zmqchat_rs import Publisher
os.chdir({str(Path.cwd())!r})
with Publisher("ipc://s", on_event=print) as publisher:
    print(publisher.endpoint)
    sys.stdin.readline()
""")
    assert other.line() == "ipc://s"
    with pytest.raises(ZmqChatError, match="in use by another program") as caught:
        bind("ipc://s")
    assert caught.value.errno == errno.EADDRINUSE
    other.send_line("")
    # The attempt did not connect to the other program.
    assert other.finish() == (0, "ipc://s\n", "")
    assert not Path("s").exists()


def test_one_object_cannot_bind_a_path_twice() -> None:
    with pytest.raises(ZmqChatError, match="this Publisher is bound to ipc://s already"):
        Publisher(["ipc://s", "ipc://./s"])
    with Publisher("ipc://s"):
        pass


@every_binder
def test_the_socket_file_of_an_ended_program_is_replaced(bind: Callable[[str], Bound]) -> None:
    leave_stale_socket("s")
    with bind("ipc://s"), pytest.raises(ZmqChatError, match="in use"):
        Publisher("ipc://s")
    assert not Path("s").exists()


def test_a_path_can_be_bound_after_a_program_ended_without_close(run_python: RunPython) -> None:
    script = f"""
import os
from zmqchat_rs import Publisher
os.chdir({str(Path.cwd())!r})
publisher = Publisher("ipc://s")
os._exit(0)
"""
    assert run_python(script).code == 0
    assert Path("s").exists()
    with Publisher("ipc://s") as publisher:
        check_delivery(publisher, "ipc://s")


def test_a_symbolic_link_is_never_replaced() -> None:
    Path("link").symlink_to("s")
    for target in ("nothing", "a stale socket"):
        with pytest.raises(ZmqChatError, match="symbolic link to 's'"):
            Publisher("ipc://link")
        assert (os.readlink("link"), Path("s").exists()) == ("s", target != "nothing")
        if target == "nothing":
            leave_stale_socket("s")
    with Publisher("ipc://s") as publisher:
        with pytest.raises(ZmqChatError, match="in use by another Publisher of this program"):
            Publisher("ipc://link")
        check_delivery(publisher, "ipc://link")


def test_the_error_for_a_socket_file_that_cannot_be_removed_has_the_reason(
    run_python: RunPython,
) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to switch to a user without permission to remove the file")
    leave_stale_socket("s")
    Path("s").chmod(0o777)
    script = f"""
import os, threading
from zmqchat_rs import Publisher, ZmqChatError
os.chdir({str(Path.cwd())!r})
os.chmod(".", 0o755)
os.setuid(65534)
try:
    Publisher("ipc://s")
except ZmqChatError as error:
    print(error)
"""
    finished = run_python(script)
    assert "a socket file of an ended program is in the way" in finished.stdout, finished
    assert "Permission denied" in finished.stdout
    Path("s").unlink()


def test_close_keeps_the_socket_file_of_a_later_publisher() -> None:
    publisher = Publisher("ipc://s")
    Path("s").unlink()
    with Publisher("ipc://s") as second:
        publisher.close()
        check_delivery(second, "ipc://s")


def test_close_removes_a_relative_path_after_a_change_of_directory() -> None:
    with Publisher("ipc://s"):
        Path("folder").mkdir()
        os.chdir("folder")
        leave_stale_socket("s")
    assert names(Path()) == {"s"}
    assert not Path("../s").exists()


def test_only_one_of_many_threads_binds_a_path() -> None:
    for _ in range(30):
        leave_stale_socket("s")
        barrier = threading.Barrier(8)

        def bind(barrier: threading.Barrier = barrier) -> Publisher | int | None:
            barrier.wait(TIMEOUT)
            try:
                return Publisher("ipc://s")
            except ZmqChatError as error:
                return error.errno

        outcomes = [thread.result() for thread in [Background(bind) for _ in range(8)]]
        (bound,) = (one for one in outcomes if isinstance(one, Publisher))
        assert outcomes.count(errno.EADDRINUSE) == 7
        with bound:
            check_delivery(bound, "ipc://s")


def test_only_one_of_many_programs_binds_a_path(start_python: StartPython) -> None:
    script = f"""
import os, sys
from zmqchat_rs import Publisher, ZmqChatError
os.chdir({str(Path.cwd())!r})
print("ready")
for line in sys.stdin:
    publisher = None
    try:
        publisher = Publisher("ipc://s")
        print("bound")
    except ZmqChatError as error:
        print("in use" if error.errno == {errno.EADDRINUSE} else error)
    sys.stdin.readline()
    if publisher:
        publisher.close()
    print("closed")
"""
    programs = [start_python(script) for _ in range(4)]
    for program in programs:
        assert program.line() == "ready"
    for _ in range(40):
        leave_stale_socket("s")
        for program in programs:
            program.send_line("bind")
        outcomes: list[str] = [program.line() for program in programs]
        assert sorted(outcomes) == ["bound", "in use", "in use", "in use"]
        # The program that has bound the path accepts connections.
        with Subscriber("ipc://s") as subscriber:
            assert subscriber.wait_connected(1, timeout=TIMEOUT) == 1
        for program in programs:
            program.send_line("close")
        for program in programs:
            assert program.line() == "closed"
        assert not Path("s").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names without a file are Linux's")
def test_an_abstract_name_creates_no_file_and_can_be_bound_once() -> None:
    name = f"@zmqchat-test-{os.getpid()}"
    with Publisher(f"ipc://{name}") as publisher:
        assert publisher.endpoint == f"ipc://{name}"
        with pytest.raises(ZmqChatError, match="in use by another Publisher"):
            Publisher(f"ipc://{name}")
        check_delivery(publisher, f"ipc://{name}")
    assert not names(Path())
