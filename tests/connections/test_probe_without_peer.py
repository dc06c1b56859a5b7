"""Results of a probe without a peer, a network, or a free descriptor."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
import zmq

from tests.helpers.raw_peers import PROBE_TIMEOUT, checked_probe, pyzmq_socket, sends, tcp_server
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher
from zmqchat_rs.diagnostics import tcp
from zmqchat_rs.probe import probe

LINUX = sys.platform.startswith("linux")


# ---- no peer


def test_a_closed_port_is_reported_as_refused(free_port: Callable[[], int]) -> None:
    port = free_port()
    found = checked_probe(f"127.0.0.1:{port}")
    assert (found.reason, found.stage) == ("refused", "connect")
    assert str(port) in found.advice
    assert "zmqchat pub" in found.advice


def test_a_connection_to_itself_is_reported_as_refused(free_port: Callable[[], int]) -> None:
    # TCP's simultaneous open: a socket that connects to its own port is connected to itself.
    port = free_port()

    class Same(socket.socket):
        def connect(self, address: Any) -> None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", port))
            super().connect(address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Same)
        found = checked_probe(f"127.0.0.1:{port}")
    assert found.reason == "refused"


def test_an_unknown_host_name_is_reported_as_not_found() -> None:
    found = checked_probe("missing.invalid:6000")
    assert (found.reason, found.stage) == ("name not found", "name")
    assert found.addresses == ()
    assert "'missing.invalid'" in found.advice
    assert "zmqchat ip" in found.advice


def test_a_resolver_that_hangs_does_not_delay_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def hang(*_: Any, flags: int = 0, **__: Any) -> Any:
        if not flags:
            end.wait(TIMEOUT)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    found = checked_probe("lab-pc", PROBE_TIMEOUT)
    end.set()
    assert (found.reason, found.stage) == ("name not found", "name")
    assert "no name server answers" in found.advice.lower()


@pytest.mark.skipif(not LINUX, reason="other systems refuse where the queue is full")
def test_a_host_that_does_not_answer_is_reported_as_filtered() -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = full.getsockname()
        for _ in range(8):  # not accepted: when the backlog is full, Linux stops answering
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(address)
        found = checked_probe(f"127.0.0.1:{address[1]}", PROBE_TIMEOUT)
    assert (found.reason, found.stage) == ("filtered", "connect")
    assert "firewall" in found.advice
    assert str(address[1]) in found.advice


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "refused"),
        (socket.timeout("timed out"), "filtered"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "filtered"),
        (PermissionError(errno.EPERM, "not permitted"), "filtered"),
        (PermissionError(errno.EACCES, "administratively prohibited"), "filtered"),
        (OSError(errno.ENETUNREACH, "network is unreachable"), "unreachable"),
        (OSError(errno.EHOSTUNREACH, "no route to host"), "unreachable"),
        (OSError(errno.EINVAL, "invalid argument"), "unreachable"),
    ],
)
def test_each_cause_of_a_failed_tcp_connection_has_its_own_result(
    trouble: OSError, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting_raises(trouble, monkeypatch)
    found = checked_probe("192.0.2.1:6000")
    assert (found.reason, found.stage) == (reason, "connect")
    assert "192.0.2.1" in found.advice


def connecting_raises(trouble: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(socket.socket):
        def connect(self, _: Any) -> None:
            raise trouble

    monkeypatch.setattr(socket, "socket", Failing)


def test_an_address_without_a_host_on_the_network_is_unreachable_and_not_filtered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "arp"
    table.write_text(
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "192.0.2.8        0x1         0x2         02:fc:00:00:00:05     *        eth0\n"
        "192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    )
    monkeypatch.setattr(tcp, "_NEIGHBOURS", str(table))
    connecting_raises(socket.timeout("timed out"), monkeypatch)
    assert checked_probe("192.0.2.8").reason == "filtered"
    assert checked_probe("192.0.2.9").reason == "unreachable"


# ---- ipc, inproc, and what can never work


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_an_ipc_address_is_probed_like_tcp(tmp_path: Path) -> None:
    path = tmp_path / "s"
    if len(str(path)) > 100:
        pytest.skip("the folder for temporary files has too long a name for a socket")
    assert checked_probe(f"ipc://{path}").reason == "name not found"
    with Publisher(f"ipc://{path}"):
        found = checked_probe(f"ipc://{path}")
        assert (found.reason, found.socket_type, found.subscribed) == ("ok", "XPUB", True)
        assert (found.host, found.port, found.addresses) == (str(path), 0, ())
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "old"))
    assert checked_probe(f"ipc://{tmp_path / 'old'}").reason == "refused"
    assert checked_probe(f"ipc://{tmp_path}").reason == "refused"


@pytest.mark.skipif(not LINUX, reason="only Linux has abstract names")
def test_an_abstract_ipc_name_is_probed() -> None:
    address = f"ipc://@zmqchat-test-{os.getpid()}"
    assert checked_probe(address).reason == "refused"
    with Publisher(address):
        assert checked_probe(address).ok


def test_inproc_cannot_be_probed() -> None:
    with Publisher("inproc://room"):
        found = checked_probe("inproc://room")
    assert (found.reason, found.stage) == ("not checked", "address")
    assert "same process" in found.advice


@pytest.mark.parametrize("address", ["", "lab-pc:99999", "lab-pc:55x5", "*:5555", "http://lab-pc"])
def test_an_invalid_address_raises(address: str) -> None:
    with pytest.raises(ValueError, match=r"expected|use the address"):
        probe(address)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, 1e9])
def test_an_invalid_timeout_raises(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout is"):
        probe("127.0.0.1", timeout=timeout)


@pytest.mark.skipif(not LINUX, reason="counts descriptors in /proc")
def test_a_probe_leaves_no_descriptor_open(publisher: Publisher) -> None:
    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with tcp_server(sends(b"hello")) as server_address, pyzmq_socket(zmq.PULL) as (_, pull):
        addresses = [publisher.addresses[0], server_address, pull, "127.0.0.1:1"]
        # Other threads close their side of a connection a little later.
        for address in addresses:
            checked_probe(address)
        before = open_descriptors()
        for _ in range(25):
            for address in addresses:
                checked_probe(address)
        wait_until(lambda: open_descriptors() <= before, "the descriptors to be closed")


def test_a_lack_of_descriptors_is_reported_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    found = checked_probe("127.0.0.1")
    assert found.reason == "not checked"
    assert "Too many open files" in found.advice
