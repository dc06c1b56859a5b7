"""WSL2 and containers: other hosts reach a port there only with port forwarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from zmqchat_rs import Publisher, Relay
from zmqchat_rs.cli import output
from zmqchat_rs.cli.main import main
from zmqchat_rs.diagnostics import doctor, port_forwarding
from zmqchat_rs.diagnostics.port_forwarding import isolation

if TYPE_CHECKING:
    from pathlib import Path

WSL2 = {"proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}
DOCKER = {".dockerenv": ""}
# A host that runs Docker containers: it has their mounts, and its own root is not one of them.
HOST_OF_CONTAINERS = {
    "proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
    "proc/1/cgroup": "0::/init.scope\n",
    "proc/1/mountinfo": "29 1 259:2 / / rw shared:1 - ext4 /dev/nvme0n1p2 rw\n"
    "95 29 0:48 / /var/lib/docker/overlay2/5a/merged rw - overlay overlay "
    "rw,lowerdir=/var/lib/docker/overlay2/l/X\n",
    "sys/class/net/enp3s0/device": "",
    "sys/class/net/docker0/bridge": "",
}


def system(root: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the package read a system that consists of these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(port_forwarding, "_ROOT", root)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (WSL2, "WSL2"),
        ({"proc/sys/kernel/osrelease": "4.19.84-microsoft-standard\n"}, "WSL2"),
        (DOCKER, "Docker"),
        ({**WSL2, **DOCKER}, "Docker"),
        ({"run/.containerenv": 'engine="podman-4.9.3"\n'}, "Podman"),
        ({"run/systemd/container": "lxc\n"}, "LXC"),
        ({"run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"),
        ({"proc/1/cgroup": "12:pids:/docker/5a0f\n0::/docker/5a0f\n"}, "Docker"),
        ({"proc/1/cgroup": "0::/kubepods/besteffort/pod5a0f/9c\n"}, "Kubernetes"),
        ({"proc/1/cgroup": "1:name=systemd:/lxc/web\n"}, "LXC"),
        (
            {
                "proc/1/cgroup": "0::/\n",
                "proc/1/mountinfo": "712 640 0:61 / / rw,relatime - overlay overlay "
                "rw,lowerdir=/var/lib/docker/overlay2/l/X:/var/lib/docker/overlay2/l/Y\n",
            },
            "Docker",
        ),
        (
            {
                "proc/1/mountinfo": "712 640 0:61 / / rw - btrfs /dev/sda rw\n"
                "730 712 8:1 /var/lib/docker/containers/5a/hostname /etc/hostname rw - ext4 x rw\n",
            },
            "Docker",
        ),
        (
            {
                "proc/1/mountinfo": "712 640 0:61 / / rw - overlay overlay "
                "rw,lowerdir=/home/me/.local/share/containers/storage/overlay/l/X\n",
            },
            "Podman",
        ),
    ],
)
def test_wsl2_and_containers_are_recognised(
    files: dict[str, str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, files, monkeypatch)
    found = isolation()
    assert found is not None
    assert (found.kind, found.shares) == (kind, False)
    advice = found.advice(6000)
    assert "port forwarding" in advice or kind == "systemd-nspawn"
    assert "6000" in advice


@pytest.mark.parametrize(
    "files",
    [
        {},
        HOST_OF_CONTAINERS,
        # WSL1 uses the network of Windows.
        {"proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft\n"},
        {"proc/sys/kernel/osrelease": "6.1.0\n", "proc/1/mountinfo": "x\n- -\n\n1 2 3 4\n"},
    ],
)
def test_other_systems_are_not_isolated(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, files, monkeypatch)
    assert isolation() is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**DOCKER, "sys/class/net/eth0/device": ""}, "docker run -p 6000:6000"),
        ({**WSL2, "sys/class/net/loopback0/type": "1"}, "firewall of Windows"),
    ],
)
def test_the_advice_is_conditional_when_the_network_of_the_host_is_shared(
    files: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, files, monkeypatch)
    found = isolation()
    assert found is not None
    assert found.shares
    assert "If other hosts cannot reach port 6000" in found.advice(6000)
    assert expected in found.advice(6000)
    (check,) = doctor._isolation(6000, asked_for_host=False)
    assert check.status == "ok"


def test_the_advice_for_wsl2_names_the_port_the_address_and_mirrored_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, WSL2, monkeypatch)
    rows = [{"address": "172.28.3.4", "interface": "eth0", "kind": "lan"}]
    monkeypatch.setattr(port_forwarding, "local_addresses", lambda: rows)
    found = isolation()
    assert found is not None
    advice = found.advice(5555)
    assert "netsh interface portproxy add v4tov4 listenport=5555 connectport=5555 " in advice
    assert "connectaddress=172.28.3.4'" in advice
    assert "networkingMode=mirrored" in advice


def test_ip_reports_port_forwarding_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system(tmp_path, DOCKER, monkeypatch)
    for words in (["ip"], ["ip", "-v"]):
        assert main(words) == 0
        out, errors = capsys.readouterr()
        assert "container" not in out
        assert errors.startswith("zmqchat: this is a container (Docker). Other hosts reach port 55")
    assert main(["ip", "--json"]) == 0
    assert capsys.readouterr().err == ""
    system(tmp_path / "other", HOST_OF_CONTAINERS, monkeypatch)
    assert main(["ip"]) == 0
    assert "container" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (DOCKER, ["ports 6001 and 6000 only", "'docker run -p 6001:6001 -p 6000:6000 ...'"]),
        (WSL2, ["ports 6001 and 6000 only", "listenport=6001", "listenport=6000", "the ports in"]),
        ({"run/systemd/container": "lxc\n"}, ["listen=tcp:0.0.0.0:6001", "for each port"]),
    ],
)
def test_the_advice_for_a_relay_names_both_ports(
    files: dict[str, str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, files, monkeypatch)
    found = isolation()
    assert found is not None
    for part in parts:
        assert part in found.advice(6001, 6000)


def test_the_notice_for_a_relay_names_both_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system(tmp_path, DOCKER, monkeypatch)
    with Relay("*:0", backend="*:0") as relay:
        addresses = [*relay.backend_addresses, *relay.frontend_addresses]
        output.notice_port_forwarding(addresses)
        text = capsys.readouterr().err
        for address in addresses:
            port = address.rpartition(":")[2]
            assert f"-p {port}:{port}" in text


def test_pub_reports_port_forwarding_for_addresses_that_other_hosts_can_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system(tmp_path, WSL2, monkeypatch)
    with Publisher(["127.0.0.1:0", "ipc://" + str(tmp_path / "s")]) as publisher:
        output.notice_port_forwarding(publisher.addresses)
    assert capsys.readouterr().err == ""  # other hosts cannot reach these, forwarded or not
    assert main(["pub", "--bind", "*:0", "--wait", "0", "-m", "Hello"]) == 0
    lines = capsys.readouterr().err.splitlines()
    port = lines[0].rpartition(":")[2]
    assert lines[-1].startswith(f"This is WSL2. Other hosts reach port {port} only with port forw")


def test_doctor_warns_about_port_forwarding_and_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, DOCKER, monkeypatch)
    (check,) = doctor._isolation(5555, asked_for_host=False)
    assert (check.title, check.status) == ("port forwarding", "warning")
    assert check.detail == "this is a container (Docker)"
    assert "docker run -p 5555:5555" in check.advice
    # A subscriber needs no port of its own.
    (check,) = doctor._isolation(5555, asked_for_host=True)
    assert check.status == "ok"
    assert "port forwarding" in [each.title for each in doctor.doctor().checks]
