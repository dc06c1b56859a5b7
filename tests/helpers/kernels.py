"""A real ipykernel, and the output that a frontend would show below each cell."""

from __future__ import annotations

import contextlib
import queue
import re
import time
from typing import TYPE_CHECKING, Any, Callable, Iterator

from jupyter_client.manager import KernelManager

from tests.helpers.timeouts import TIMEOUT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

#: A timeout in seconds: a kernel takes seconds to start on a busy machine.
LONG = 2 * TIMEOUT


class Cell:
    """The output below one run of a cell."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self.done = False
        self.reply: dict[str, Any] | None = None

    @property
    def printed(self) -> str:
        """The text that it wrote to both streams."""
        return "".join(one["text"] for one in self.outputs if one["kind"] == "stream")

    @property
    def displays(self) -> list[dict[str, str]]:
        """The current data of its displays."""
        return [one["data"] for one in self.outputs if one["kind"] == "display"]

    @property
    def html(self) -> str:
        """The HTML of all its displays."""
        return "\n".join(data.get("text/html", "") for data in self.displays)

    @property
    def result(self) -> str:
        """Its `Out`, as text."""
        results = [one["data"] for one in self.outputs if one["kind"] == "result"]
        return results[-1]["text/plain"] if results else ""

    @property
    def error(self) -> str:
        """The last line of its traceback; "" without an error."""
        errors = [one["error"] for one in self.outputs if one["kind"] == "error"]
        return errors[-1] if errors else ""


class Kernel:
    """A kernel in a process of its own, with a minimal frontend."""

    def __init__(self, folder: Path) -> None:
        self._manager = KernelManager()
        self._environment = {"IPYTHONDIR": str(folder), "NO_COLOR": ""}
        self._cells: dict[str, Cell] = {}
        self._displays: dict[str, list[dict[str, Any]]] = {}
        self.updates: list[float] = []
        self.client = self._start()

    def _start(self) -> BlockingKernelClient:
        import os

        environment = {**os.environ, **self._environment}
        self._manager.start_kernel(env=environment)
        client: BlockingKernelClient = self._manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=LONG)
        return client

    def start(self, code: str, *, cell: str | None = None) -> Cell:
        """Start a cell, with its id as JupyterLab sends it, and return at once."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell} if cell else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        shown = self._cells[message["header"]["msg_id"]] = Cell()
        return shown

    def run(self, code: str, *, cell: str | None = None) -> Cell:
        """Run a cell to its end; fail if it raises."""
        shown = self.finish(self.start(code, cell=cell))
        assert not shown.error, shown.error
        return shown

    def finish(self, cell: Cell) -> Cell:
        """Wait until a cell has ended."""
        self.until(lambda: cell.done, "the cell to end")
        return cell

    def until(self, condition: Callable[[], object], what: str = "the condition") -> None:
        """Read the kernel's messages until the condition is true."""

        def read_on() -> None:
            with contextlib.suppress(queue.Empty):
                self._read(0.05)

        wait_until(condition, what, timeout=LONG, between=read_on)

    def interrupt(self) -> None:
        """Press the stop button."""
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        """Restart it, as the frontend's button does; the output of the cells stays."""
        self._manager.restart_kernel(now=False)
        with contextlib.suppress(queue.Empty):
            while True:  # its last messages
                self._read(0.2)
        self.client.wait_for_ready(timeout=LONG)

    def shut_down(self) -> None:
        """Shut it down, and read its last messages."""
        self._manager.shutdown_kernel(now=False)
        with contextlib.suppress(queue.Empty):
            while True:
                self._read(0.5)

    def clean_up(self) -> None:
        """End the process and close the sockets."""
        self.client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        self.client.context.destroy(linger=0)

    def _read(self, timeout: float) -> None:
        message = self.client.get_iopub_msg(timeout=timeout)
        kind, content = message["msg_type"], message["content"]
        cell = self._cells.get(message["parent_header"].get("msg_id", ""), Cell())
        if kind == "status" and content["execution_state"] == "idle":
            cell.done = True
        elif kind == "stream":
            cell.outputs.append({"kind": "stream", "text": content["text"]})
        elif kind == "error":
            text = re.sub(r"\x1b\[[0-9;]*m", "", f"{content['ename']}: {content['evalue']}")
            cell.outputs.append({"kind": "error", "error": text})
        elif kind == "execute_result":
            cell.outputs.append({"kind": "result", "data": content["data"]})
        elif kind == "display_data":
            shown = {"kind": "display", "data": content["data"]}
            cell.outputs.append(shown)
            identity = content.get("transient", {}).get("display_id")
            self._displays.setdefault(identity, []).append(shown)
        elif kind == "update_display_data":
            # It changes the display, whichever cell sent it.
            self.updates.append(time.monotonic())
            for shown in self._displays[content["transient"]["display_id"]]:
                shown["data"] = content["data"]


@contextlib.contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel that is shut down at the end of the block."""
    started = Kernel(folder)
    try:
        yield started
    finally:
        started.clean_up()
