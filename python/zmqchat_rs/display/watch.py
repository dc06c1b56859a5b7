"""Shows messages in the background: `Subscriber.watch`, in a notebook's cell or in a terminal.

Each watch has a daemon thread that receives and shows messages. In a notebook it updates the
display of the cell that started it. The output of `print` in a thread would appear in the running
cell.
"""

from __future__ import annotations

import atexit
import sys
import traceback
from collections import deque
from contextlib import ExitStack, suppress
from datetime import datetime
from errno import EBADF
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs import _threads
from zmqchat_rs._core import ClosedError, Message, Transcript, ZmqChatError, use_color
from zmqchat_rs._threads import start_thread
from zmqchat_rs._validation import seconds

from . import notebook_cell
from .jupyter import Rows, bundle
from .python_prompt import print_above_prompt
from .sinks import Lines

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType
    from typing import Any

    from zmqchat_rs._core import Subscriber

    from .terminal import Color, Timestamps

# Seconds between two checks whether to stop.
_SLICE = 0.2
# Seconds between two updates of the heading, which shows the connections, without messages.
_HEADING = 0.5
# Seconds that the end of the kernel waits for the last updates.
_FAREWELL = 1.0
# The shortest time between two updates, in seconds.
_PAUSE = 0.1
# Bytes per second that all displays together may send. Jupyter's server stops a notebook's output
# at 1,000,000 (ServerApp.iopub_data_rate_limit), and cells print as well.
_BYTES_PER_SECOND = 400_000

_running: list[Watch] = []
_changing = _threads.allocate_lock()


def watch(  # noqa: PLR0913
    subscriber: Subscriber,
    *,
    max_rows: int,
    keep: int | None,
    color: Color,
    timestamps: Timestamps,
    log: Transcript | str | PathLike[str] | None,
) -> Watch:
    """Show the messages of a subscriber; see `Subscriber.watch`."""
    # Raise for invalid arguments now, not at the first message.
    use_color(color, isatty=False)
    Message([b""]).render(timestamps=timestamps)
    cell = notebook_cell.current()
    with _changing:
        replaced = [one for one in _running if one._gives_way(subscriber, cell)]  # noqa: SLF001
    for one in replaced:
        one._end("replaced by a later one")  # noqa: SLF001
    view: View
    if notebook_cell.in_kernel():
        view = CellView(max_rows=max_rows, color=color, timestamps=timestamps)
    else:
        view = TerminalView(color=color, timestamps=timestamps)
    return Watch(subscriber, view, cell=cell, keep=keep, log=log)


class Watch:
    """Shows the messages of a subscriber in the background; made by `Subscriber.watch`.

    In a notebook, `live` as the last line of another cell also shows it there. Leaving its `with`
    block stops it. Any threads may share it. It continues without a reference to it; in a notebook,
    running its cell again replaces it.

    Attributes:
        error: The exception that ended it, which is also shown; None if there was none.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        view: View,
        *,
        cell: tuple[str, str] | None,
        keep: int | None,
        log: Transcript | str | PathLike[str] | None,
    ) -> None:
        self.error: BaseException | None = None
        self._subscriber: Subscriber | None = subscriber
        self._view = view
        self._cell = cell
        self._kept: deque[Message] = deque(maxlen=keep)
        self._received = 0
        self._log: Transcript | None = None
        self._log_failure = ""
        self._opened = ExitStack()
        if isinstance(log, Transcript):
            self._log = log
        elif log is not None:
            self._log = self._opened.enter_context(Transcript(log))
        # Protects the attributes below, and wakes waiting threads.
        self._news = _threads.Condition()
        self._stopping = False
        self._why = ""
        self._thread = _threads.make(self._run, "zmqchat-watch")
        with _changing:
            _running.append(self)
        view.begin(self._heading())
        try:
            start_thread(self._thread)
        except ZmqChatError:
            self._why = "not started"
            self._finish()
            raise

    @property
    def running(self) -> bool:
        """Whether it still receives messages."""
        return self._thread.is_alive() and not self._stopping

    @property
    def messages(self) -> list[Message]:
        """The newest messages, oldest first: as many as `keep` allows, 10,000 by default."""
        with self._news:
            return list(self._kept)

    @property
    def received(self) -> int:
        """The number of received messages, including those that are no longer kept."""
        return self._received

    def wait(self, count: int = 1, *, timeout: float | None = None) -> int:
        """Wait until the watch has received `count` messages.

        Ctrl+C and the stop button end the wait, but not the watch.

        Args:
            count: The number of messages since the start of the watch.
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            The number of received messages, `count` or more.

        Raises:
            TimeoutError: If fewer messages arrive within the timeout.
            ValueError: If `timeout` is negative.
            ClosedError: If the watch ends before.
        """
        timeout = seconds("timeout", timeout)
        deadline = None if timeout is None else monotonic() + timeout
        with self._news:
            while self._received < count:
                if not self._thread.is_alive():
                    raise ClosedError(
                        EBADF, f"the watch ended ({self._why}) after {self._received} messages"
                    )
                left = _SLICE if deadline is None else min(_SLICE, deadline - monotonic())
                if left <= 0:
                    raise TimeoutError(self._why_fewer(count, timeout or 0.0))
                # In slices, because a signal does not end a longer wait on every system.
                self._news.wait(left)
            return self._received

    def _why_fewer(self, count: int, timeout: float) -> str:
        text = f"{self._received} of {count} messages arrived within the timeout"
        subscriber = self._subscriber
        if self._received or subscriber is None:
            return text
        return f"{text}: {subscriber._timeout_cause(timeout)}"  # noqa: SLF001

    def stop(self) -> None:
        """Stop the watch. Its output stays; the subscriber stays open and can receive again.

        Returns when the thread has ended, within 0.2 seconds. Stopping twice does nothing.
        """
        self._end("stopped")

    def __enter__(self) -> Watch:  # noqa: PYI034 - `Self` is not in Python 3.8
        """Return the watch itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the watch."""
        self.stop()

    def __repr__(self) -> str:
        """The state, and the number of messages."""
        state = "live" if self.running else self._why or "stopped"
        return f"<Watch {state}, {_counted(self._received)}>"

    def _ipython_display_(self) -> None:
        """Show the watch in a cell other than its own, where it is shown already."""
        if self._cell is None or self._cell != notebook_cell.current():
            self._view.show_again(repr(self))

    def _gives_way(self, subscriber: Subscriber, cell: tuple[str, str] | None) -> bool:
        if self._subscriber is subscriber:
            return True
        earlier = self._cell
        return bool(cell and earlier and earlier[0] == cell[0] and earlier[1] != cell[1])

    def _end(self, why: str, *, within: float | None = None) -> None:
        self._why = self._why or why
        self._stopping = True
        if not _threads.is_current(self._thread):
            self._thread.join(within)

    def _run(self) -> None:
        try:
            self._receive()
        except ClosedError:
            self._why = self._why or "the subscriber was closed"
        except SystemExit:
            self._why = self._why or "the program ends"
        except BaseException as error:  # noqa: BLE001 - shown, and kept in `error`
            self.error = error
            self._why = "stopped by an error"
        finally:
            self._finish()

    def _receive(self) -> None:
        due = 0.0
        heading, looked = "", 0.0
        fresh = True
        while not self._stopping:
            now = monotonic()
            wait = min(_SLICE, max(0.0, due - now)) if fresh else _SLICE
            messages = self._take(wait)
            if messages:
                self._log_all(messages)
                self._view.add(messages)
                with self._news:
                    self._kept.extend(messages)
                    self._received += len(messages)
                    self._news.notify_all()
                fresh = True
            now = monotonic()
            if not fresh and now - looked < _HEADING:
                continue
            if now < due:
                continue
            before, heading, looked = heading, self._heading(), now
            if fresh or heading != before:
                pause = self._view.draw(heading, sharing=len(_running))
                due, fresh = monotonic() + pause, False

    def _take(self, wait: float) -> list[Message]:
        subscriber = self._subscriber
        if subscriber is None:
            return []
        try:
            taken = subscriber.recv_many(timeout=wait)
        except TimeoutError:
            return []
        # Presence is for chats only.
        return [message for message in taken if not message._is_presence]  # noqa: SLF001

    def _log_all(self, messages: list[Message]) -> None:
        if self._log is None:
            return
        try:
            self._log.write_many(messages)
        except ZmqChatError as error:
            # The watch continues, for example with a full disk.
            if not self._log_failure:
                import logging  # noqa: PLC0415 - rarely needed

                logging.getLogger("zmqchat_rs").warning("not logged: %s", error.strerror)
            self._log_failure = error.strerror or str(error)
        else:
            self._log_failure = ""

    def _heading(self) -> str:
        """One line with the state."""
        parts = ["● live"] if self.running or not self._stopping else []
        subscriber = self._subscriber
        lost = 0
        if subscriber is not None:
            with suppress(ZmqChatError):
                parts.append(_connections(subscriber))
                lost = subscriber.stats().lost
        parts.append(_counted(self._received))
        if lost:
            parts.append(f"{lost:,} lost")
        if self._log_failure:
            parts.append(f"not logged: {self._log_failure}")
        return " · ".join(parts)

    def _finish(self) -> None:
        """Show the end of the watch, and release its objects."""
        when = datetime.now().astimezone().strftime("%H:%M:%S")
        heading = f"■ {self._why or 'stopped'} at {when} · {_counted(self._received)}"
        details = ""
        if self.error is not None:
            kind = type(self.error)
            trace = traceback.format_exception(kind, self.error, self.error.__traceback__)
            details = "".join(trace)
        with _changing, suppress(ValueError):
            _running.remove(self)
        self._subscriber = None
        self._stopping = True
        try:
            self._opened.close()
        except ZmqChatError as error:
            heading += f" · not logged: {error.strerror}"
        try:
            self._view.finish(heading, details)
        except Exception as error:  # noqa: BLE001 - printed to stderr
            self.error = self.error or error
            with suppress(Exception):
                traceback.print_exc()
        with self._news:
            self._news.notify_all()


class View:
    """The output of a watch, which calls all methods except `begin` in its own thread."""

    def begin(self, heading: str) -> None:
        """Show that the watch has started."""

    def add(self, messages: list[Message]) -> None:
        """Add messages, which the next `draw` shows."""
        raise NotImplementedError

    def draw(self, heading: str, *, sharing: int) -> float:
        """Show the state; return the seconds until the next call."""
        raise NotImplementedError

    def show_again(self, text: str) -> None:
        """Show the watch a second time."""
        raise NotImplementedError

    def finish(self, heading: str, details: str) -> None:
        """Show that the watch has ended; `details` is a traceback, or empty."""
        raise NotImplementedError


class CellView(View):
    """A display in a notebook's cell, which is updated."""

    def __init__(self, *, max_rows: int, color: Color, timestamps: Timestamps) -> None:
        self._rows = Rows(max_rows=max_rows, color=color, timestamps=timestamps)
        self._handle: Any = None
        self._shown: dict[str, Any] = {}

    def begin(self, heading: str) -> None:
        """Show the heading in the running cell."""
        from IPython import display  # noqa: PLC0415 - a kernel has it

        show: Any = display.display  # only some versions of IPython have types
        self._shown = bundle(heading, self._rows)
        self._handle = show(self._shown, raw=True, display_id=True)

    def add(self, messages: list[Message]) -> None:
        """Add messages."""
        self._rows.add(messages)

    def draw(self, heading: str, *, sharing: int) -> float:
        """Update the display with the newest messages."""
        self._update(bundle(heading, self._rows))
        size = sum(len(text) for text in self._shown.values())
        return max(_PAUSE, size * max(1, sharing) / _BYTES_PER_SECOND)

    def show_again(self, text: str) -> None:  # noqa: ARG002 - the display shows more
        """Show the display in the running cell, too; both are updated from now on."""
        self._handle.display(self._shown, raw=True)

    def finish(self, heading: str, details: str) -> None:
        """Show the last messages, and how the watch ended."""
        self._update(bundle(heading, self._rows, details))

    def _update(self, shown: dict[str, Any]) -> None:
        self._shown = shown
        self._handle.update(shown, raw=True)


class TerminalView(View):
    """Lines on ``sys.stdout``, above the prompt of an interpreter that waits for input."""

    def __init__(self, *, color: Color, timestamps: Timestamps) -> None:
        self._lines = Lines(color=color, timestamps=timestamps)

    def add(self, messages: list[Message]) -> None:
        """Print messages."""
        print_above_prompt(lambda: self._print(messages))

    def _print(self, messages: list[Message]) -> None:
        for message in messages:
            self._lines.show(message)
        self._lines.flush()

    def draw(self, heading: str, *, sharing: int) -> float:  # noqa: ARG002 - lines need none
        """Do nothing, since messages are printed at once."""
        return _PAUSE

    def show_again(self, text: str) -> None:
        """Print the text."""
        print(text)

    def finish(self, heading: str, details: str) -> None:  # noqa: ARG002 - the prompt is enough
        """Print the traceback, if there is one."""
        if details and sys.stderr is not None:
            sys.stderr.write(details)


def _connections(subscriber: Subscriber) -> str:
    """The state of the connections, in a few words."""
    peers = subscriber.peers
    few = 3
    if not peers:
        at = ", ".join(subscriber.endpoints)
        return f"{at}: no publisher yet" if at else "no address to connect to"
    if len(peers) <= few:
        return ", ".join(f"{peer.address} {peer.state}" for peer in peers)
    connected = sum(peer.state == "connected" for peer in peers)
    return f"{connected} of {len(peers)} connected"


def _counted(received: int) -> str:
    return f"{received:,} message" + ("" if received == 1 else "s")


def _farewell() -> None:
    """At the end of the kernel, show that all watches have ended."""
    deadline = monotonic() + _FAREWELL
    with _changing:
        left = list(_running)
    for one in left:
        one._stopping = True  # noqa: SLF001 - so that all of them end at once
    for one in left:
        one._end("the program ended", within=max(0.0, deadline - monotonic()))  # noqa: SLF001


# Registered after the package's own function, so it runs before that closes all subscribers.
atexit.register(_farewell)


def _forget() -> None:
    """In a forked child, the threads do not exist."""
    global _changing  # noqa: PLW0603
    _changing = _threads.allocate_lock()
    _running.clear()


if sys.platform != "win32":
    import os

    os.register_at_fork(after_in_child=_forget)
