"""Two hosts: network namespaces of Linux, joined by a link that can be cut.

All traffic stays inside. The scripts that run on a host enter it themselves, before they start any
thread: `setns` moves one thread, and those that it starts later.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from functools import partial
from typing import Iterator, NamedTuple

from tests.helpers.network_cable import Quality, cable

_CLONE_NEWNET = 0x40000000


def missing() -> str | None:
    """Why this system cannot have network namespaces; None if it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    if shutil.which("ip") is None:
        return "needs `ip` (Debian: iproute2)"
    name = f"zmqchat-{os.getpid()}-try"
    tried = _run("ip", "netns", "add", name)
    _run("ip", "netns", "delete", name)
    # A container may lack the permission, or its kernel the feature.
    return None if tried.returncode == 0 else f"no network namespaces here: {tried.stderr.strip()}"


def enter(name: str) -> None:
    """Move this thread to this host."""
    descriptor = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


class Host(NamedTuple):
    """One of the two hosts."""

    name: str
    address: str

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this host."""
        return _run("ip", "netns", "exec", self.name, *command)


class Hosts(NamedTuple):
    """The two hosts, and the link between them."""

    left: Host
    right: Host

    def cut(self) -> None:
        """Unplug the cable: packets are lost without an error at either end."""
        _must(self.right.run("ip", "link", "set", "wire", "down"))

    def restore(self) -> None:
        """Plug the cable in again."""
        _must(self.right.run("ip", "link", "set", "wire", "up"))


@contextlib.contextmanager
def two_hosts(mark: str, quality: Quality | None = None) -> Iterator[Hosts]:
    """Two joined hosts with unique names, which are removed at the end of the block.

    With a `quality` they have a bad cable between them instead of a perfect one.
    """
    left = Host(f"zmqchat-{os.getpid()}-{mark}-l", "10.213.7.1")
    right = Host(f"zmqchat-{os.getpid()}-{mark}-r", "10.213.7.2")
    with contextlib.ExitStack() as undone:
        for host in (left, right):
            _must(_run("ip", "netns", "add", host.name))
            undone.callback(_run, "ip", "netns", "delete", host.name)
            _must(host.run("ip", "link", "set", "lo", "up"))
        # Both ends are made inside, so that this machine's own interfaces do not change.
        if quality is None:
            _must(
                left.run(
                    *("ip", "link", "add", "wire", "type", "veth"),
                    *("peer", "name", "wire", "netns", right.name),
                )
            )
        else:
            enter_ends = [partial(enter, host.name) for host in (left, right)]
            undone.enter_context(cable("wire", enter_ends, quality))
        for host in (left, right):
            _must(host.run("ip", "address", "add", f"{host.address}/24", "dev", "wire"))
            _must(host.run("ip", "link", "set", "wire", "up"))
        yield Hosts(left, right)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, timeout=30, capture_output=True, text=True)


def _must(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(done.args)}: {done.stderr.strip()}")
