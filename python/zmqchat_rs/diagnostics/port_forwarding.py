"""WSL2 and containers, in which other hosts reach a port only with port forwarding.

The environment is detected from the kernel and from files of container runtimes, without network.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from zmqchat_rs._core import local_addresses

_ROOT = Path("/")

# Text in the lines of /proc/1/cgroup, or in the sources of its mounts, for each runtime. Under
# cgroup v2 the former has none of these, so the latter are needed.
_MARKS = {
    "Kubernetes": ("kubepods", "/kubelet/"),
    "Podman": ("libpod", "/containers/storage/", "/overlay-containers/"),
    "Docker": ("/docker", "docker-"),
    "LXC": ("/lxc/", "lxc.payload"),
    "containerd": ("containerd",),
}
_FORWARDING = {
    "Docker": "start it with 'docker run {options} ...', or with --network host",
    "Podman": "start it with 'podman run {options} ...', or with --network host",
    "Kubernetes": "expose the port with a Service (NodePort), or with hostPort",
    "LXC": "forward it ('lxc config device add NAME zmqchat{port} proxy "
    "listen=tcp:0.0.0.0:{port} connect=tcp:127.0.0.1:{port}'), or bridge the container to the "
    "network",
}
_ANY_FORWARDING = "publish or forward the port when the container is started"


class Isolation(NamedTuple):
    """An environment with its own network behind a host.

    Attributes:
        kind: "WSL2", or the container's runtime: "Docker", "Podman", "Kubernetes", "LXC" …
        shares: Whether it seems to share the network of its host, so that ports need no forwarding.
    """

    kind: str
    shares: bool = False

    @property
    def where(self) -> str:
        """The environment, as text in a sentence."""
        return "WSL2" if self.kind == "WSL2" else f"a container ({self.kind})"

    def advice(self, first: int, *more: int) -> str:
        """Describe how other hosts reach these ports."""
        ports = (first, *more)
        shown = _shown(ports)
        if self.kind == "WSL2":
            return self._through_windows(*ports)
        options = " ".join(f"-p {each}:{each}" for each in ports)
        how = _FORWARDING.get(self.kind, _ANY_FORWARDING).format(port=first, options=options)
        if more and "{options}" not in _FORWARDING.get(self.kind, ""):
            how += ", for each port"
        if self.shares:
            return (
                f"It seems to share the network of its host. If other hosts cannot reach "
                f"{shown}, port forwarding is needed: {how}."
            )
        return (
            f"Other hosts reach {shown} only with port forwarding: {how}. They then connect to the "
            "address of the host that runs the container."
        )

    def _through_windows(self, *ports: int) -> str:
        shown = _shown(ports)
        if self.shares:
            return (
                f"It shares the network of Windows (mirrored). If other hosts cannot reach "
                f"{shown}, change the firewall of Windows."
            )
        own = [each["address"] for each in local_addresses() if each["kind"] == "lan"]
        address = own[0] if own else "ADDRESS"
        commands = " and ".join(
            f"'netsh interface portproxy add v4tov4 listenport={port} connectport={port} "
            f"connectaddress={address}'"
            for port in ports
        )
        allowed = "the port" if len(ports) == 1 else "the ports"
        return (
            f"Other hosts reach {shown} only with port forwarding by Windows: type in its "
            f"PowerShell, as administrator, {commands} and allow {allowed} in "
            "its firewall; or write networkingMode=mirrored into .wslconfig. They then connect to "
            "the address of Windows (ipconfig)."
        )


def _shown(ports: tuple[int, ...]) -> str:
    return f"port{'s' if len(ports) > 1 else ''} {' and '.join(map(str, ports))}"


def isolation() -> Isolation | None:
    """Detect the environment; None if this program uses the network of the host."""
    runtime = _runtime()
    if runtime:
        return Isolation(runtime, shares=_has_hardware())
    release = _text("proc/sys/kernel/osrelease").lower()
    # WSL1, "4.4.0-19041-Microsoft", has no network of its own.
    if "microsoft" in release and ("wsl2" in release or "standard" in release):
        # Mirrored networking adds this interface.
        return Isolation("WSL2", shares=(_ROOT / "sys/class/net/loopback0").exists())
    return None


def _runtime() -> str:
    """The container's runtime; empty outside of a container."""
    if (_ROOT / ".dockerenv").exists():
        return "Docker"
    if (_ROOT / "run/.containerenv").exists():
        return "Podman"
    named = _text("run/systemd/container").strip()
    if named and named != "wsl":
        known = {runtime.lower(): runtime for runtime in _MARKS}
        return known.get(named, "Docker" if named == "docker" else named)
    evidence = [_text("proc/1/cgroup"), *_sources(_text("proc/1/mountinfo"))]
    for runtime, marks in _MARKS.items():
        if any(mark in each for mark in marks for each in evidence):
            return runtime
    return ""


def _sources(mountinfo: str) -> list[str]:
    """The sources of the root and of the files that every runtime mounts.

    Other mounts are ignored, because the host of a container also has its mounts. The format is
    described in Linux's Documentation/filesystems/proc.rst.
    """
    found = []
    for line in mountinfo.splitlines():
        fields = line.split()
        separator = fields.index("-") if "-" in fields else len(fields)
        if len(fields) < 5:  # noqa: PLR2004
            continue
        source, place, rest = fields[3], fields[4], fields[separator + 1 :]
        if place == "/":
            found.append(" ".join([source, *rest]))
        elif place in ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf"):
            found.append(source)
    return found


def _has_hardware() -> bool:
    """Whether an interface has a device: a container's own network has none."""
    return any((_ROOT / "sys/class/net").glob("*/device"))


def _text(path: str) -> str:
    try:
        return (_ROOT / path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
