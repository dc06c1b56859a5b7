"""Hosts for `benches.scale`: temporary network namespaces of Linux around one switch.

All traffic stays inside. Each host has one interface, `wire`, with its own address.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Iterator, Sequence


def missing() -> str | None:
    """Why network namespaces cannot be created here; None if they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "creating network namespaces needs root"
    if shutil.which("ip") is None:
        return "needs `ip` (Debian: iproute2)"
    name = f"zmqchat-{os.getpid()}-try"
    tried = _run("ip", "netns", "add", name)
    _run("ip", "netns", "delete", name)
    return (
        None
        if tried.returncode == 0
        else f"cannot create network namespaces: {tried.stderr.strip()}"
    )


@dataclass(frozen=True)
class Host:
    """A network namespace with its address."""

    name: str
    address: str

    def command(self, *words: str) -> list[str]:
        """A command line that runs on this host."""
        return ["ip", "netns", "exec", self.name, *words]

    def sent_bytes(self) -> int:
        """The bytes that its interface has sent, including headers."""
        done = _must(*self.command("cat", "/sys/class/net/wire/statistics/tx_bytes"))
        return int(done)


@contextlib.contextmanager
def hosts(names: Sequence[str]) -> Iterator[dict[str, Host]]:
    """Hosts with these names, connected to one switch."""
    mark = f"zmqchat-{os.getpid()}"
    switch = f"{mark}-switch"
    made = {
        name: Host(f"{mark}-{name}", f"10.214.{number // 250}.{number % 250 + 1}")
        for number, name in enumerate(names)
    }
    try:
        _must("ip", "netns", "add", switch)
        _must("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        _must("ip", "-n", switch, "link", "set", "bridge", "up")
        for number, host in enumerate(made.values()):
            port = f"port{number}"
            _must("ip", "netns", "add", host.name)
            # Both ends are created inside: this machine gets no new interface.
            _must(
                *("ip", "-n", host.name, "link", "add", "wire", "type", "veth"),
                *("peer", "name", port, "netns", switch),
            )
            _must("ip", "-n", switch, "link", "set", port, "master", "bridge", "up")
            _must("ip", "-n", host.name, "address", "add", f"{host.address}/16", "dev", "wire")
            for link in ("lo", "wire"):
                _must("ip", "-n", host.name, "link", "set", link, "up")
        yield made
    finally:
        for name in [*(host.name for host in made.values()), switch]:
            _run("ip", "netns", "delete", name)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, timeout=30, capture_output=True, text=True)


def _must(*command: str) -> str:
    done = _run(*command)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
