"""`doctor`: every trouble of a first lesson is found, named, and met with what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest
import zmq

import zmqchat_rs
from tests.helpers.raw_peers import PROBE_TIMEOUT, SIGNATURE, resolve_lab_pc, sends, tcp_server
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Check, Publisher, Report, Subscriber
from zmqchat_rs.diagnostics import doctor as doctor_module
from zmqchat_rs.diagnostics import ports

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython

LINUX = sys.platform.startswith("linux")


def doctor(host: str | None = None, **options: Any) -> Report:
    report = zmqchat_rs.doctor(host, **{"timeout": TIMEOUT, **options})
    assert isinstance(report, Report)
    assert report.ok is all(check.status != "failed" for check in report.checks)
    return report


def the(title: str, report: Report) -> Check:
    (check,) = (check for check in report.checks if check.title == title)
    return check


def the_failure(report: Report) -> Check:
    (check,) = (check for check in report.checks if check.status == "failed")
    return check


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


# ---- import and arguments


def test_importing_the_package_does_not_import_the_doctor(run_python: RunPython) -> None:
    done = run_python("""
        import sys
        before = set(sys.modules)
        import zmqchat_rs
        after = set(sys.modules) - before
        assert "doctor" in dir(zmqchat_rs)
        heavy = {"socket", "json", "ssl", "typing", "zmqchat_rs.diagnostics.doctor"}
        assert not heavy & after, after
        from zmqchat_rs import doctor
        import zmqchat_rs.diagnostics.doctor
        assert doctor is zmqchat_rs.doctor is zmqchat_rs.diagnostics.doctor.doctor
        assert "ssl" not in sys.modules
    """)
    assert done.code == 0, done.stderr


def test_an_unknown_attribute_of_the_package_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="unknown"):
        zmqchat_rs.unknown  # noqa: B018


def test_a_report_is_available_as_text_and_as_json(publisher: Publisher) -> None:
    report = doctor(publisher.addresses[0])
    lines = str(report).splitlines()
    assert len(lines) == len(report.checks)
    assert repr(report) == str(report)
    for line, check in zip(lines, report.checks):
        assert line.startswith(f"{check.status:8} {check.title}")
        assert check.detail in line
        assert check.advice in line
    data = json.loads(json.dumps(report.to_dict()))
    assert data["ok"] is report.ok
    assert [each["title"] for each in data["checks"]] == [check.title for check in report.checks]
    assert data["probe"]["socket_type"] == "XPUB"


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_raises(port: int) -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        zmqchat_rs.doctor(port=port)


@pytest.mark.parametrize("port", ["5555", True, 5555.5])
def test_a_port_that_is_not_an_integer_raises(port: Any) -> None:
    with pytest.raises(TypeError, match="port is a whole number, not "):
        zmqchat_rs.doctor(port=port)


def test_a_timeout_that_is_not_a_number_raises() -> None:
    with pytest.raises(TypeError, match="timeout is a number, not str"):
        zmqchat_rs.doctor("127.0.0.1", timeout="4")  # type: ignore[arg-type]


# ---- this host


def test_the_report_names_the_versions(free_port: Callable[[], int]) -> None:
    report = doctor(port=free_port())
    assert report.ok
    assert report.probe is None
    python = ".".join(map(str, sys.version_info[:3]))
    assert the("Python", report).detail == f"{python}, {sys.executable}"
    detail = the("zmqchat_rs", report).detail
    assert detail.startswith(f"{zmqchat_rs.__version__} with libzmq 4.3.5")
    assert "CURVE" in detail


def test_a_free_port_is_ok(free_port: Callable[[], int]) -> None:
    port = free_port()
    check = the(f"port {port}", doctor(port=port))
    assert (check.status, check.detail) == ("ok", "free for a publisher")
    with Publisher(f"127.0.0.1:{port}"):
        pass  # the check has released the port


def test_a_port_in_use_by_a_publisher_is_a_warning(publisher: Publisher) -> None:
    port = port_of(publisher.addresses[0])
    report = doctor(port=port)
    check = the(f"port {port}", report)
    assert check.status == "warning"
    assert "in use by a publisher" in check.detail
    assert f"zmqchat sub 127.0.0.1:{port}" in check.advice
    assert f"--bind '*:{port + 1}'" in check.advice
    if LINUX:
        assert f"this program (pid {os.getpid()})" in check.detail


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::"])
def test_a_port_in_use_by_another_program_is_a_failure_that_names_the_program(
    address: str, start_python: StartPython
) -> None:
    if not LINUX and address != "127.0.0.1":
        pytest.skip("other systems have no such address, or let both have the port")
    if address == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")
    script = start_python(
        """
        import socket, sys
        both = sys.argv[1] == "::"
        family = socket.AF_INET6 if both else socket.AF_INET
        where = (sys.argv[1], 0)
        with socket.create_server(where, family=family, dualstack_ipv6=both) as listener:
            print(listener.getsockname()[1])
            sys.stdin.readline()
        """,
        address,
    )
    port = script.line()
    report = doctor(port=int(port), timeout=1)
    check = the_failure(report)
    assert check.title == f"port {port}"
    assert f"--bind '*:{int(port) + 1}'" in check.advice
    if LINUX:
        assert f"(pid {script.pid})" in check.detail
        assert Path(f"/proc/{script.pid}/comm").read_text().strip() in check.detail
    script.send_line("enough")
    assert script.finish().code == 0
    assert the(f"port {port}", doctor(port=int(port))).status == "ok"


def test_a_port_in_use_by_an_unknown_program_is_reported(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_PROC", tmp_path)
    port = port_of(publisher.addresses[0])
    assert "another program" in the(f"port {port}", doctor(port=port)).detail


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_the_user_of_another_user_s_program_is_named(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_holds", lambda *_: False)  # as for the processes of another user
    holder = ports.holder_of(port_of(publisher.addresses[0]))
    assert holder is not None
    assert holder.pid is None
    assert holder.name.startswith("a program of the user ")
    assert holder.address == "127.0.0.1"


def test_a_port_in_use_is_not_a_failure_for_a_subscriber(publisher: Publisher) -> None:
    port = port_of(publisher.addresses[0])
    assert the(f"port {port}", doctor(publisher.addresses[0])).status == "ok"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        report = doctor(f"127.0.0.1:{port}", timeout=PROBE_TIMEOUT)
    assert the(f"port {port}", report).status == "warning"
    assert the_failure(report).title == "ZeroMQ greeting"


@pytest.mark.parametrize(
    ("addresses", "status", "text"),
    [
        ([("127.0.0.1", "lo", "loopback")], "warning", "no network: only this laptop"),
        ([], "warning", "no network: only this laptop"),
        ([("172.17.0.1", "docker0", "virtual")], "warning", "docker0"),
        ([("169.254.3.4", "eth0", "lan")], "warning", "169.254.3.4"),
        ([("192.168.1.12", "wlan0", "lan"), ("127.0.0.1", "lo", "loopback")], "ok", "wlan0"),
    ],
)
def test_the_report_describes_the_network(
    addresses: list[tuple[str, str, str]],
    status: str,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [dict(zip(("address", "interface", "kind"), each)) for each in addresses]
    monkeypatch.setattr(doctor_module, "local_addresses", lambda: rows)
    check = doctor_module._network()
    assert check.status == status
    assert text in check.detail
    assert ("zmqchat ip" in check.advice) is (status == "warning")


@pytest.mark.parametrize(
    ("conda", "expected"),
    [
        (("zmqchat", "/here"), ("ok", "conda's 'zmqchat'")),
        (("/home/me/envs/zmqchat", "/here"), ("ok", "conda's 'zmqchat'")),
        (("base", "/here"), ("warning", "wrong environment")),
        (("zmqchat", "/elsewhere"), ("warning", "wrong environment")),
        ((None, "/elsewhere"), ("ok", "no conda")),
    ],
)
def test_a_wrong_conda_environment_is_a_warning(
    conda: tuple[str | None, str], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, prefix = conda
    status, text = expected
    monkeypatch.setattr(sys, "base_prefix", "/here")
    monkeypatch.setattr(sys, "prefix", "/here")
    monkeypatch.delenv("CONDA_DEFAULT_ENV", raising=False)
    if name is not None:
        monkeypatch.setenv("CONDA_DEFAULT_ENV", name)
    monkeypatch.setenv("CONDA_PREFIX", prefix)
    check = doctor_module._conda()
    assert check.status == status
    assert text in check.detail
    assert ("conda activate zmqchat" in check.advice) is (status == "warning")


def test_a_conda_environment_that_was_not_activated_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conda-meta").mkdir()
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv("CONDA_DEFAULT_ENV", raising=False)
    assert doctor_module._conda().status == "warning"


def test_a_virtual_environment_needs_no_conda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "base")
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")
    assert doctor_module._conda().status == "ok"


@pytest.mark.skipif(sys.platform == "win32", reason="makes a command with a shebang")
def test_another_zmqchat_on_the_path_is_reported_as_the_wrong_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check = doctor_module._command()
    assert check.status == "warning"
    assert "python -m zmqchat_rs" in check.advice
    command = tmp_path / "zmqchat"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    check = doctor_module._command()
    assert check.status == "warning"
    assert "wrong environment" in check.detail
    assert str(command) in check.detail
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert doctor_module._command().status == "ok"


@pytest.mark.skipif(sys.platform == "win32", reason="other folders and scripts there")
@pytest.mark.parametrize(
    ("shell", "script"), [("/bin/bash", "activate"), ("/usr/bin/fish", "activate.fish")]
)
def test_in_a_virtual_environment_its_own_activation_is_advised(
    shell: str, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tmp_path / "lab env"
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(sys, "executable", str(prefix / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SHELL", shell)
    advice = doctor_module._command().advice
    assert f"source '{prefix}/bin/{script}'" in advice
    assert "conda" not in advice
    other = tmp_path / "zmqchat"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    check = doctor_module._command()
    assert "wrong environment" in check.detail
    assert f"source '{prefix}/bin/{script}'" in check.advice


def test_in_a_conda_environment_its_own_activation_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tmp_path / "envs" / "course"
    (prefix / "conda-meta").mkdir(parents=True)
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(prefix))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "conda activate course" in doctor_module._command().advice


@pytest.mark.parametrize("name", ["zmqchat_rs.py", "zmqchat.py", "zmqchat_rs/__init__.py"])
def test_a_file_that_shadows_the_package_is_a_failure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("print('mine')\n")
    monkeypatch.chdir(tmp_path)
    failure = the_failure(Report(tuple(doctor_module._shadows())))
    assert failure.title == "shadowed import"
    assert f"{tmp_path / name.partition('/')[0]} is imported instead of the package" in str(failure)
    assert "Rename it, for example to my_zmqchat" in failure.advice


def test_zmqchat_doctor_finds_the_file_beside_a_script_whose_import_fails(tmp_path: Path) -> None:
    (tmp_path / "zmqchat_rs.py").write_text("print('mine')\n")
    (tmp_path / "script.py").write_text("from zmqchat_rs import Publisher\n")
    script = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, check=False
    )
    assert b"ImportError" in script.stderr
    command = Path(sys.executable).parent / "zmqchat"
    if not command.exists():
        pytest.skip("the command is not installed beside this interpreter")
    doctor = subprocess.run([command, "doctor"], cwd=tmp_path, capture_output=True, check=False)
    assert doctor.returncode == 1
    (line,) = (line for line in doctor.stdout.decode().splitlines() if "shadowed" in line)
    assert line.startswith("failed ")
    assert str(tmp_path / "zmqchat_rs.py") in line


def test_a_file_that_shadows_a_module_of_python_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "zmq.py", "publisher.py", "zmqchat_rs.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    checks = list(doctor_module._shadows())
    assert [check.status for check in checks] == ["warning", "warning"]
    assert "'json'" in checks[0].detail
    assert "'zmq'" in checks[1].detail


def test_a_folder_without_such_files_is_not_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zmqchat_rs").mkdir()  # a clone: without __init__.py it shadows nothing
    monkeypatch.chdir(tmp_path)
    assert list(doctor_module._shadows()) == []
    monkeypatch.chdir(Path(zmqchat_rs.__file__).parent.parent)
    assert [check for check in doctor_module._shadows() if check.status == "failed"] == []


# ---- the other side: the lab's table of troubles, row by row


def test_a_reachable_publisher_passes_all_checks(publisher: Publisher) -> None:
    report = doctor(publisher.addresses[0])
    assert report.ok
    steps = [check for check in report.checks if check.title in [*doctor_module._STEPS.values()]]
    assert [check.title for check in steps] == list(doctor_module._STEPS.values())
    assert {check.status for check in steps} == {"ok"}
    assert the("socket type", report).detail == "XPUB, a publisher"
    assert the("subscription", report).detail == "accepted"
    assert the("round trip", report).detail.endswith("ms")


def test_the_messages_check_advises_to_subscribe_to_all_topics(publisher: Publisher) -> None:
    check = the("messages", doctor(publisher.addresses[0]))
    assert "exact" in check.detail
    assert f"zmqchat sub {publisher.addresses[0]} without -t" in check.advice


def test_the_advice_for_a_refused_connection_is_to_start_the_publisher(
    free_port: Callable[[], int],
) -> None:
    report = doctor(f"127.0.0.1:{free_port()}")
    assert (the("name", report).status, the_failure(report).title) == ("ok", "TCP connection")
    assert "refused" in the_failure(report).detail
    assert "zmqchat pub" in the_failure(report).advice
    assert report.checks[-1] is the_failure(report)


def test_the_advice_for_an_unknown_host_name_is_to_use_the_ip_address() -> None:
    failure = the_failure(doctor("missing.invalid"))
    assert (failure.title, failure.detail) == ("name", "missing.invalid:5555: name not found")
    assert "zmqchat ip" in failure.advice


def test_the_advice_for_a_wrong_port_is_to_compare_it() -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        failure = the_failure(doctor("127.0.0.1", port=port))
    assert (failure.title, failure.detail) == ("socket type", f"127.0.0.1:{port}: not a publisher")
    assert "check the port" in failure.advice


def test_a_subscriber_at_the_address_is_a_failure() -> None:
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        failure = the_failure(doctor(subscriber.addresses[0]))
    assert "which subscribes, too" in failure.advice


def test_security_that_a_plain_subscriber_lacks_is_named() -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as theirs:
        theirs.plain_server = True
        port = theirs.bind_to_random_port("tcp://127.0.0.1")
        failure = the_failure(doctor(f"127.0.0.1:{port}"))
    assert failure.title == "security"
    assert "PLAIN" in failure.advice


def test_inproc_is_a_warning() -> None:
    report = doctor("inproc://room")
    assert report.ok
    assert the("address", report).status == "warning"


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_an_ipc_publisher_has_no_name_check(tmp_path: Path) -> None:
    path = tmp_path / "s"
    if len(str(path)) > 100:
        pytest.skip("the folder for temporary files has too long a name for a socket")
    with Publisher(f"ipc://{path}"):
        report = doctor(f"ipc://{path}")
    assert report.ok
    assert "name" not in [check.title for check in report.checks]


def test_each_address_of_a_name_has_a_line(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(publisher.addresses[0].rpartition(":")[2])
    resolve_lab_pc(monkeypatch, ["127.0.0.8", "127.0.0.1"])
    report = doctor(f"lab-pc:{port}")
    assert report.ok
    lines = {check.title: check for check in report.checks}
    assert lines["name"].status == "warning"
    assert lines["name"].detail == "lab-pc is 127.0.0.8, 127.0.0.1: only this host"
    other = lines["other address"]
    assert (other.status, other.detail) == ("warning", "127.0.0.8: refused")
    assert lines["TCP connection"].detail.startswith(f"lab-pc:{port} (127.0.0.1) in ")


def test_an_old_peer_fails_the_handshake() -> None:
    with tcp_server(sends(SIGNATURE + b"\x01\x01\0\0")) as address:
        report = doctor(address)
    assert not report.ok
    assert (
        f"{address}: handshake failed: the peer uses ZMTP 2.0; ZeroMQ 4.0 or later is needed"
    ) in str(report)
