"""Which cell of a notebook runs: what it made in an earlier run gives way when it runs again.

A cell is known by the identity that JupyterLab, Notebook 7 and VS Code send along, elsewhere by its
text: a line that is called back and run again.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from zmqchat_rs._core import parse_address

if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence


def shell() -> Any:  # noqa: ANN401 - IPython's classes are no dependency of ours
    """IPython's shell; None in a program that has merely imported IPython."""
    ipython = sys.modules.get("IPython")
    get_ipython = getattr(ipython, "get_ipython", None)
    return None if get_ipython is None else get_ipython()


def in_kernel() -> bool:
    """Whether a kernel runs this, so that output has cells to stand in."""
    return hasattr(shell(), "kernel")


def current() -> tuple[str, str] | None:
    """The running cell, and its run.

    Returns:
        What stays the same when the cell is run again, and what does not; None outside of
        IPython, and in threads that a cell has started: these may outlive it.
    """
    running = shell()
    if running is None or threading.current_thread() is not threading.main_thread():
        return None
    try:
        return _told_by_frontend(running) or _told_by_history(running)
    except Exception:  # noqa: BLE001 - a shell of another kind must keep nobody from publishing
        return None


def _told_by_frontend(running: Any) -> tuple[str, str] | None:  # noqa: ANN401
    """What came with the request to run the cell, where a kernel runs it."""
    parent: dict[str, Any] = getattr(running, "get_parent", dict)()
    run, text = parent.get("header", {}).get("msg_id"), parent.get("content", {}).get("code")
    if not run or text is None:
        return None
    identity = parent.get("metadata", {}).get("cellId")
    return (f"cell {identity}" if identity else f"text {text}"), run


def _told_by_history(running: Any) -> tuple[str, str]:  # noqa: ANN401
    """What was typed last, in a terminal."""
    return f"text {running.history_manager.input_hist_raw[-1]}", str(running.execution_count)


def explain(error: OSError, addresses: Sequence[str]) -> None:
    """Have the error of an address in use name the variable that holds it."""
    found = next(_holders(addresses), None)
    if found is not None:
        text = f"{error.strerror}. Here that is {found}: {found}.close() frees it"
        error.strerror = text
        error.args = (error.errno, text)


def _holders(addresses: Sequence[str]) -> Iterator[str]:
    """Names of the notebook's variables that are bound to one of these; `Out[3]` last."""
    running = shell()
    if running is None:
        return
    wanted = {_port(address) for address in addresses}
    names = {name: value for name, value in running.user_ns.items() if not name.startswith("_")}
    names.update({f"Out[{n}]": out for n, out in running.user_ns.get("Out", {}).items()})
    for name, value in names.items():
        # Of our own objects alone: a look at others might do anything.
        ours = type(value).__module__.partition(".")[0] == "zmqchat_rs"
        if not ours or getattr(value, "closed", True):
            continue
        # A chat has one endpoint, a relay has two.
        singles = [getattr(value, each, None) for each in ("endpoint", "frontend", "backend")]
        endpoints = filter(None, [*getattr(value, "endpoints", ()), *singles])
        if any(_port(one) in wanted for one in endpoints):
            yield name


def _port(address: str) -> object:
    """What two listeners cannot share: a TCP port, a path or a name."""
    transport, host, port = parse_address(address, bind=True)
    if transport == "tcp":
        return port
    return (transport, os.path.realpath(host) if transport == "ipc" else host)
