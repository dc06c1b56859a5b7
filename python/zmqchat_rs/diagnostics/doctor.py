"""The function `doctor`: checks why no message arrives.

The report has one line for each check: ok, warning or failed, the result, and what to do. `probe`
checks the publisher; the other checks are about this host.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zmqchat_rs._core import __version__, build_info, local_addresses, parse_address, sanitize
from zmqchat_rs._validation import whole
from zmqchat_rs.display.jupyter import html_table
from zmqchat_rs.display.terminal import wrapped

from .port_forwarding import isolation
from .ports import Holder, holder_of, is_free
from .probe import Probe, probe

if TYPE_CHECKING:
    from typing import Any, Iterator, Literal

    Status = Literal["ok", "warning", "failed"]

_DEFAULT_PORT = 5555
_ENVIRONMENT = "zmqchat"
# Legible on a white and on a black background.
_STATUS_COLORS = {"ok": "#5f8700", "warning": "#af8700", "failed": "#ff0000"}
# The column of a line's detail, after its status and title; see `Check.__str__`.
DETAIL_COLUMN = 26
# Files with these names beside a script are imported instead of the package.
_OWN_NAMES = {"zmqchat_rs", "zmqchat"}
# The same for modules that the package and scripts import. Python 3.8 and 3.9 have no list.
_NEEDED_NAMES = {"zmq", "numpy", "pandas", "polars", "prompt_toolkit"} | set(
    getattr(
        sys,
        "stdlib_module_names",
        ("asyncio", "json", "logging", "queue", "random", "socket", "threading", "time", "typing"),
    )
)
# The stages of `probe` in their order, and their titles.
_STEPS = {
    "name": "name",
    "connect": "TCP connection",
    "greeting": "ZeroMQ greeting",
    "security": "security",
    "handshake": "handshake",
    "socket type": "socket type",
    "subscription": "subscription",
}


class Check(NamedTuple):
    """The result of one check.

    Attributes:
        title: The subject of the check, in up to three words.
        status: "ok", "warning" (may be the cause) or "failed" (is a cause).
        detail: The result.
        advice: What to do; empty if there is nothing to do.
    """

    title: str
    status: Status
    detail: str
    advice: str = ""

    def __str__(self) -> str:
        """One line for a terminal; control characters are escaped."""
        advice = f". {self.advice}" if self.advice else ""
        return sanitize(f"{self.status:8} {self.title:16} {self.detail}{advice}")


@dataclass(frozen=True, repr=False)
class Report:
    """The report of `doctor`; its text has a line for each check.

    Attributes:
        checks: The checks, in their order.
        probe: The check of the publisher; None without a host.
    """

    checks: tuple[Check, ...]
    probe: Probe | None = None

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "failed" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dicts, lists, strings and numbers for JSON."""
        return {
            "ok": self.ok,
            "checks": [check._asdict() for check in self.checks],
            "probe": None if self.probe is None else self.probe._asdict(),
        }

    def __str__(self) -> str:
        """One line for each check, wrapped at words if ``sys.stdout`` is a terminal."""
        lines = [str(check) for check in self.checks]
        if sys.stdout is not None:
            lines = [wrapped(sys.stdout, line, indent=DETAIL_COLUMN) for line in lines]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """HTML for notebooks: a table with a row for each check."""
        rows = [
            (check.status, check.title, ". ".join(filter(None, [check.detail, check.advice])))
            for check in self.checks
        ]
        colors = {
            status: f"color:{color};font-weight:600" for status, color in _STATUS_COLORS.items()
        }
        return html_table(rows, first=colors, wraps=True)


def doctor(host: str | None = None, *, port: int | None = None, timeout: float = 4.0) -> Report:
    """Check why no message arrives, on this laptop and at a publisher.

    The publisher sees a subscriber that connects and disconnects. It sends no message to it.

    Args:
        host: A publisher's address, such as "192.168.1.12" or "lab-pc:6000"; None checks this
            laptop only.
        port: The port to check on this laptop, and the port of `host` if it has none; None means
            the port of `host`, or 5555.
        timeout: Seconds for the check of the publisher, above 0.

    Returns:
        The report, for `print`. `Report.ok` is False if a check failed.

    Raises:
        ValueError: If `host`, `port` or `timeout` is invalid.
        TypeError: If one of them has the wrong type.
    """
    if port is not None and not 1 <= whole("port", port) <= 65535:  # noqa: PLR2004 - TCP's ports
        raise ValueError(f"port is {port}: use a number from 1 to 65535, for example 5555")
    seen: Probe | None = None
    remote: tuple[Check, ...] = ()
    if host is not None:
        address, port = _with_port(host, port)
        seen = probe(address, timeout=timeout)
        remote = tuple(_publisher_checks(seen))
    here = _host_checks(port or _DEFAULT_PORT, asked_for_host=host is not None)
    return Report((*here, *remote), seen)


def _with_port(host: str, port: int | None) -> tuple[str, int]:
    """Return an address with its port, and the port."""
    transport, name, its_port = parse_address(host)
    if transport != "tcp":
        return host, port or _DEFAULT_PORT
    if port is None or host.strip().endswith(f":{its_port}"):
        return host, port or its_port
    return f"{name}:{port}", port


# ---- this host


def _host_checks(port: int, *, asked_for_host: bool) -> Iterator[Check]:
    yield _python()
    yield _libzmq()
    yield _command()
    yield _conda()
    yield from _shadows()
    yield _network()
    yield from _isolation(port, asked_for_host=asked_for_host)
    yield _port(port, asked_for_host=asked_for_host)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", "ok", f"{version}, {sys.executable or 'embedded'}")


def _libzmq() -> Check:
    info = build_info()
    detail = f"{__version__} with libzmq {info['libzmq']}"
    if info["curve"]:
        return Check("zmqchat_rs", "ok", f"{detail}, encryption (CURVE)")
    return Check(
        "zmqchat_rs",
        "warning",
        f"{detail}, no encryption (CURVE)",
        "Install it from its own sources if you need encryption.",
    )


def _command() -> Check:
    """Check that ``zmqchat`` in a shell belongs to this interpreter."""
    title, found = "command", shutil.which("zmqchat")
    if found is None:
        return Check(
            title,
            "warning",
            "a shell does not find zmqchat",
            f"{_activation()}, or type: python -m zmqchat_rs.",
        )
    folder = Path(found).parent
    # A shim of pyenv starts the Python that is selected at the moment.
    if folder.name == "shims" or folder.resolve() in {each.resolve() for each in _script_folders()}:
        return Check(title, "ok", found)
    return Check(
        title,
        "warning",
        f"wrong environment: a shell finds {found}, but this is {sys.executable}",
        f"{_activation()}, and start Python from the same window.",
    )


def _activation() -> str:
    """Return advice to make the commands of this interpreter available in a shell."""
    prefix = Path(sys.prefix)
    if sys.prefix != sys.base_prefix:
        if os.name == "nt":
            # PowerShell and cmd find their own script by this name.
            return f"Activate the virtual environment: {prefix / 'Scripts' / 'activate'}"
        shell = Path(os.environ.get("SHELL", "")).name
        ending = {"fish": ".fish", "csh": ".csh", "tcsh": ".csh"}.get(shell, "")
        script = shlex.quote(str(prefix / "bin" / f"activate{ending}"))
        return f"Activate the virtual environment: source {script}"
    if (prefix / "conda-meta").is_dir():
        name = prefix.name if prefix.parent.name == "envs" else _ENVIRONMENT
        return f"Activate the environment: conda activate {name}"
    folder = next((each for each in _script_folders() if (each / "zmqchat").exists()), None)
    if folder is not None:
        return f"Add {folder} to PATH"
    return f"Activate the environment that you installed into (conda activate {_ENVIRONMENT})"


def _script_folders() -> list[Path]:
    """The folders into which pip installs commands for this interpreter."""
    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    user = f"{os.name}_user"
    if user in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", user))
    return [Path(each) for each in folders]


def _conda() -> Check:
    title = "environment"
    name, prefix = os.environ.get("CONDA_DEFAULT_ENV"), os.environ.get("CONDA_PREFIX")
    if sys.prefix != sys.base_prefix:
        return Check(title, "ok", f"a virtual environment, {sys.prefix}")
    activate = f"Type: conda activate {_ENVIRONMENT}, and start this again in that window."
    if not name:
        if (Path(sys.prefix) / "conda-meta").is_dir():
            return Check(title, "warning", f"conda's {sys.prefix} is not activated", activate)
        return Check(title, "ok", f"no conda, {sys.prefix}")
    name = Path(name).name
    if prefix and Path(prefix).resolve() != Path(sys.prefix).resolve():
        return Check(
            title,
            "warning",
            f"wrong environment: conda's '{name}' is active, but this Python is {sys.executable}",
            activate,
        )
    if name != _ENVIRONMENT:
        detail = f"wrong environment? conda's '{name}' is active, the lab's is '{_ENVIRONMENT}'"
        return Check(title, "warning", detail, activate)
    return Check(title, "ok", f"conda's '{name}'")


def _shadows() -> Iterator[Check]:
    """Find files that Python imports instead of the package, or of modules that it needs.

    The folder of a script is first in its search path. The command ``zmqchat`` has another first
    folder, so it runs even if the import of the script fails.
    """
    # The current folder, and the folder of the running script.
    folders = dict.fromkeys((Path.cwd(), Path(sys.path[0] if sys.path else "").absolute()))
    own = {Path(each).resolve() for each in sysconfig.get_paths().values()}
    found = [each for folder in folders if folder.resolve() not in own for each in _modules(folder)]
    for path in found:
        name = path.name.partition(".")[0]
        if name in _OWN_NAMES:
            yield Check(
                "shadowed import",
                "failed",
                f"{path} is imported instead of the package",
                f"Rename it, for example to my_{path.name}; delete __pycache__ beside it.",
            )
        elif name in _NEEDED_NAMES:
            yield Check(
                "shadowed import",
                "warning",
                f"{path} is imported instead of the module '{name}', which other modules need",
                f"Rename it, for example to my_{path.name}.",
            )


def _modules(folder: Path) -> list[Path]:
    """The modules and packages in a folder, except this package."""
    here = Path(__file__).resolve().parent.parent
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        entry
        for entry in entries
        if (entry.suffix == ".py" or (entry / "__init__.py").is_file()) and entry.resolve() != here
    ]


def _network() -> Check:
    title, mine = "network", local_addresses()
    lan = [each for each in mine if each["kind"] == "lan"]
    assigned = [each for each in lan if not each["address"].startswith("169.254.")]
    if assigned:
        shown = ", ".join(f"{each['address']} ({each['interface']})" for each in assigned)
        return Check(title, "ok", f"this laptop is {shown}")
    join = "Connect to the same network (Wi-Fi or cable) as the other laptop; then: zmqchat ip."
    if lan:
        detail = f"the network assigned no address, only {lan[0]['address']} was chosen"
        return Check(title, "warning", detail, join)
    virtual = [each["interface"] for each in mine if each["kind"] == "virtual"]
    if virtual:
        detail = f"no local network, only virtual ones ({', '.join(virtual)})"
        return Check(title, "warning", detail, join)
    return Check(title, "warning", "no network: only this laptop can reach itself", join)


def _isolation(port: int, *, asked_for_host: bool) -> Iterator[Check]:
    """Check for WSL2 and containers, where a publisher needs port forwarding."""
    found = isolation()
    if found is not None:
        needless = asked_for_host or found.shares
        yield Check(
            "port forwarding",
            "ok" if needless else "warning",
            f"this is {found.where}",
            found.advice(port),
        )


def _port(port: int, *, asked_for_host: bool) -> Check:
    """Check whether a publisher could bind the port, which a subscriber does not need."""
    title, another = f"port {port}", port + 1 if port < 65535 else _DEFAULT_PORT  # noqa: PLR2004
    elsewhere = f"zmqchat pub --bind '*:{another}'"
    try:
        if is_free(port):
            return Check(title, "ok", "free for a publisher")
    except OSError as error:
        return Check(
            title,
            "warning" if asked_for_host else "failed",
            f"cannot be bound: {error.strerror or error}",
            f"Use another port: {elsewhere}.",
        )
    holder = holder_of(port) or Holder("another program")
    if probe(f"{holder.address}:{port}", timeout=1.0, subscribe=False).ok:
        return Check(
            title,
            "ok" if asked_for_host else "warning",
            f"in use by a publisher: {holder.name}",
            f"To receive from it: zmqchat sub {holder.address}:{port}. A second publisher needs "
            f"another port: "
            f"{elsewhere}.",
        )
    find = (
        f"netstat -ano | findstr :{port}" if os.name == "nt" else f"sudo ss -ltnp 'sport = {port}'"
    )
    if sys.platform == "darwin":
        find = f"sudo lsof -nP -iTCP:{port} -sTCP:LISTEN"
    hint = f" (find it: {find})" if holder.pid is None else ""
    return Check(
        title,
        "warning" if asked_for_host else "failed",
        f"in use by {holder.name}, which does not answer as a publisher",
        f"End that program{hint}, or use another port: {elsewhere}.",
    )


# ---- the publisher


def _publisher_checks(seen: Probe) -> Iterator[Check]:
    """Yield a check for each stage of the probe."""
    if seen.stage == "address":
        yield Check("address", "warning", f"{seen.address}: {seen.reason}", seen.advice)
        return
    literal = seen.addresses == (seen.host,)
    at = f" ({seen.tried})" if len(seen.addresses) > 1 else ""
    failure = f"{seen.address}{at}: {seen.reason}"
    advice = seen.advice
    if seen.reason == "handshake failed":
        failure, advice = f"{failure}: {advice[:1].lower()}{advice[1:].rstrip('.')}", ""
    details = {
        "name": f"{seen.host} is {'an IP address' if literal else ', '.join(seen.addresses)}",
        "connect": f"{seen.address}{at} in {_milliseconds(seen.connect_seconds)}",
        "greeting": f"ZMTP {seen.version}",
        "security": f"{seen.mechanism}: not encrypted",
        "handshake": "completed",
        "socket type": f"{seen.socket_type}, a publisher",
        "subscription": "accepted" if seen.subscribed else "sent; this version does not confirm it",
    }
    for stage, title in _STEPS.items():
        if stage == seen.stage:
            yield Check(title, "failed", failure, advice)
            return
        if stage == "name" and not seen.addresses:
            continue  # ipc:// has no name
        if stage == "name" and _is_unexpected_loopback(seen):
            yield Check(
                title,
                "warning",
                f"{details[stage]}: only this host",
                "To reach another host, type its IP address (there: zmqchat ip).",
            )
        else:
            yield Check(title, "ok", details[stage])
        if stage == "name":
            yield from _other_addresses(seen)
    if seen.round_trip_seconds is not None:
        yield Check("round trip", "ok", _milliseconds(seen.round_trip_seconds))
    elif seen.version == "3.1":
        yield Check(
            "round trip",
            "warning",
            f"{seen.address} is connected, but does not answer within the timeout",
            "Check whether that laptop is overloaded or the network is slow.",
        )
    else:
        yield Check("round trip", "ok", f"not measured: ZMTP {seen.version} has no PING")
    yield Check(
        "messages",
        "ok",
        "arrive when a message is published after you subscribed; topics match exactly",
        f"If none arrives, you may not be subscribed to its topic: try zmqchat sub {seen.address} "
        "without -t.",
    )


def _is_unexpected_loopback(seen: Probe) -> bool:
    """Whether a name other than localhost resolves to this host only."""
    if seen.addresses == (seen.host,) or seen.host.lower().startswith("localhost"):
        return False
    return all(each.startswith("127.") or each == "::1" for each in seen.addresses)


def _other_addresses(seen: Probe) -> Iterator[Check]:
    """Yield a check for each other address of the name, which does not work."""
    for other in seen.others:
        advice = "A subscriber tries the next address of the name." if seen.ok else ""
        yield Check("other address", "warning" if seen.ok else "failed", other, advice)


def _milliseconds(seconds: float | None) -> str:
    return "no time" if seconds is None else f"{seconds * 1000:.1f} ms"
