"""The installed package: features of libzmq, dependencies, types and licences."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

import zmqchat_rs
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber, _core

ROOT = Path(__file__).resolve().parents[2]
LINUX = sys.platform.startswith("linux")
KEEPALIVE_TIMER = "02"  # Documentation/networking/proc_net_tcp.rst: "another timer"


def output_of(script: str) -> str:
    """Run a script in a new interpreter and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_libzmq_is_new_and_has_curve_and_the_drafts() -> None:
    info = zmqchat_rs.build_info()
    assert info["libzmq"] == "4.3.5"
    assert info["curve"] is True
    assert info["libsodium"]
    assert info["draft"] is True


def test_the_version_is_stated_once() -> None:
    assert zmqchat_rs.__version__ == zmqchat_rs.build_info()["version"]
    assert zmqchat_rs.__version__ == metadata.version("zmqchat-rs")


@pytest.mark.skipif(not LINUX, reason="the other platforms have fewer abilities")
def test_libzmq_has_the_transports_of_the_platform() -> None:
    info = zmqchat_rs.build_info()
    assert info["ipc"] is True
    assert info["event_signal"] == "eventfd"
    assert info["tcp_keepalive"] is True
    assert info["interface_names"] is True
    assert info["fork_guard"] is True


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_threads_signal_each_other_through_eventfd() -> None:
    before, after, sockets = output_of(
        "import os\n"
        "from zmqchat_rs import Publisher\n"
        "def count(kind):\n"
        "    names = []\n"
        "    for entry in os.scandir('/proc/self/fd'):\n"
        "        try:\n"
        "            names.append(os.readlink(entry.path))\n"
        "        except FileNotFoundError:\n"
        "            pass  # the folder's own descriptor\n"
        "    return sum(name.startswith(kind) for name in names)\n"
        "before, had = count('anon_inode:[eventfd]'), count('socket:')\n"
        "with Publisher('inproc://x'):\n"
        "    print(before, count('anon_inode:[eventfd]'), count('socket:') - had)\n"
    ).split()
    # The context's reaper and I/O thread and the socket have a mailbox each; without eventfd
    # each mailbox would be a pair of sockets.
    assert int(after) >= int(before) + 3
    assert int(sockets) == 0


def timers(port: int) -> list[str]:
    """The timers of the established connections from and to a port on loopback."""
    if shutil.which("ss"):
        listed = subprocess.run(
            ["ss", "-tonH", f"( sport = :{port} or dport = :{port} )"],
            check=True,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ).stdout
        return [line for line in listed.splitlines() if line.startswith("ESTAB")]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return [
        "timer:(keepalive," if row[5].startswith(KEEPALIVE_TIMER) else "timer: another"
        for row in rows
        if row[3] == "01" and f":{port:04X}" in row[1] + row[2]
    ]


@pytest.mark.skipif(not LINUX, reason="reads the kernel's list of connections")
def test_both_ends_keep_an_idle_connection_alive() -> None:
    with Publisher("127.0.0.1:0") as pub, Subscriber(str(pub.endpoint)) as sub:
        pub.wait_for_subscribers(timeout=60)
        pub.send("hello")
        assert sub.recv_text(timeout=60) == "hello"
        port = int(str(pub.endpoint).rsplit(":", 1)[1])

        # Sent data has a retransmission timer until it is acknowledged.
        def both_are_kept_alive() -> bool:
            seen = timers(port)
            return len(seen) == 2 and all("timer:(keepalive," in line for line in seen)

        wait_until(both_are_kept_alive, lambda: f"two keep-alive timers, not {timers(port)}")


@pytest.mark.skipif(not LINUX, reason="the loopback interface is called lo here")
def test_an_interface_name_can_be_bound() -> None:
    with Publisher("lo:0") as pub:
        assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+", str(pub.endpoint))


@pytest.mark.skipif(not (LINUX and shutil.which("ldd")), reason="asks ldd")
def test_the_machine_s_cpp_runtime_is_not_needed() -> None:
    libraries = subprocess.run(
        ["ldd", str(_core.__file__)], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout
    assert "libc.so" in libraries
    for unwanted in ("libstdc++", "libzmq", "libsodium", "not found"):
        assert unwanted not in libraries


def test_importing_the_package_imports_no_heavy_module() -> None:
    imported = output_of("import sys, zmqchat_rs; print(*sys.modules)").split()
    assert "zmqchat_rs._core" in imported
    for heavy in ("asyncio", "prompt_toolkit", "zmq", "zmqchat_rs.cli", "argparse"):
        assert heavy not in imported


def test_one_library_is_required_at_run_time_and_the_chat_s_screen_alone_imports_it() -> None:
    required = metadata.requires("zmqchat-rs") or []
    always = [re.split(r"[^\w-]", one)[0] for one in required if "extra ==" not in one]
    assert [one.replace("-", "_") for one in always] == ["prompt_toolkit"]
    for module in ("cli.main", "chat", "cli.commands.chat", "cli.chat.session", "cli.chat.lines"):
        imported = output_of(f"import sys, zmqchat_rs.{module}; print(*sys.modules)").split()
        assert "prompt_toolkit" not in imported, module


def test_the_package_contains_its_types() -> None:
    folder = Path(zmqchat_rs.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_core.pyi").is_file()


LICENCES = {
    "LICENSE": "MIT License",
    "libzmq/LICENSE-libzmq": "Mozilla Public License Version 2.0",
    "libzmq/libsodium/LICENSE": "ISC License",
}


def test_the_wheel_contains_the_licences_of_the_libraries_linked_into_it() -> None:
    distribution = metadata.distribution("zmqchat-rs")
    assert set(distribution.metadata.get_all("License-File") or []) == set(LICENCES)
    for name, title in LICENCES.items():
        assert title in (distribution.read_text(f"licenses/{name}") or ""), name


@pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file() or shutil.which("maturin") is None,
    reason="packs the checkout with maturin",
)
def test_the_sdist_contains_the_licences_of_the_libraries_built_from_it(tmp_path: Path) -> None:
    subprocess.run(
        ["maturin", "sdist", "--out", str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        top = files.getnames()[0].split("/")[0]
        for name, title in LICENCES.items():
            content = files.extractfile(f"{top}/{name}")
            assert content is not None
            assert title in content.read().decode("utf-8"), name
