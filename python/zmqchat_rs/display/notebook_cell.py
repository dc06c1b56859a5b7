"""The running cell of a notebook: objects of its previous run are closed when it runs again.

JupyterLab, Notebook 7 and VS Code send the identity of a cell. Elsewhere, a cell is identified by
its text, such as a line that is recalled and run again.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from zmqchat_rs._core import parse_address

if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence


def shell() -> Any:  # noqa: ANN401 - IPython is not a dependency
    """IPython's shell; None in a program that only imports IPython."""
    ipython = sys.modules.get("IPython")
    get_ipython = getattr(ipython, "get_ipython", None)
    return None if get_ipython is None else get_ipython()


def in_kernel() -> bool:
    """Whether this program is a Jupyter kernel, whose output has cells."""
    return hasattr(shell(), "kernel")


def current() -> tuple[str, str] | None:
    """The identity of the running cell, and of its run.

    Returns:
        The identity of the cell, which stays the same when it runs again, and that of this run.
        None outside of IPython, and in threads, which may run longer than their cell.
    """
    running = shell()
    if running is None or threading.current_thread() is not threading.main_thread():
        return None
    try:
        return _from_request(running) or _from_history(running)
    except Exception:  # noqa: BLE001 - an unknown shell must not prevent publishing
        return None


def _from_request(running: Any) -> tuple[str, str] | None:  # noqa: ANN401
    """The identity from the request to run the cell, in a kernel."""
    parent: dict[str, Any] = getattr(running, "get_parent", dict)()
    run, text = parent.get("header", {}).get("msg_id"), parent.get("content", {}).get("code")
    if not run or text is None:
        return None
    identity = parent.get("metadata", {}).get("cellId")
    return (f"cell {identity}" if identity else f"text {text}"), run


def _from_history(running: Any) -> tuple[str, str]:  # noqa: ANN401
    """The identity from the last typed text, in a terminal."""
    return f"text {running.history_manager.input_hist_raw[-1]}", str(running.execution_count)


def explain(error: OSError, addresses: Sequence[str]) -> None:
    """Add the notebook's variable that uses the address to the error of a bind."""
    found = next(_holders(addresses), None)
    if found is not None:
        text = f"{error.strerror}. Here that is {found}: {found}.close() frees it"
        error.strerror = text
        error.args = (error.errno, text)


def _holders(addresses: Sequence[str]) -> Iterator[str]:
    """The notebook's variables whose objects are bound to one of the addresses; `Out[3]` last."""
    running = shell()
    if running is None:
        return
    wanted = {_port(address) for address in addresses}
    names = {name: value for name, value in running.user_ns.items() if not name.startswith("_")}
    names.update({f"Out[{n}]": out for n, out in running.user_ns.get("Out", {}).items()})
    for name, value in names.items():
        # Attributes of other objects could run any code.
        ours = type(value).__module__.partition(".")[0] == "zmqchat_rs"
        if not ours or getattr(value, "closed", True):
            continue
        # A chat has one endpoint, a relay has two.
        singles = [getattr(value, each, None) for each in ("endpoint", "frontend", "backend")]
        endpoints = filter(None, [*getattr(value, "endpoints", ()), *singles])
        if any(_port(one) in wanted for one in endpoints):
            yield name


def _port(address: str) -> object:
    """The part of an address that only one socket can bind: a TCP port, a path or a name."""
    transport, host, port = parse_address(address, bind=True)
    if transport == "tcp":
        return port
    return (transport, os.path.realpath(host) if transport == "ipc" else host)
