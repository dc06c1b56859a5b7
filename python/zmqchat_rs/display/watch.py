"""Messages in the background: the body of `Subscriber.watch`.

One daemon thread a watch receives and shows. In a notebook it changes the display of the cell that
started it, which a print from a thread could not: that lands in whichever cell runs just then.
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

# How long a wait for messages lasts before it looks whether to stop, in seconds.
_SLICE = 0.2
# How often the heading is made anew while nothing comes: connections come and go.
_HEADING = 0.5
# What the end of the kernel waits for a last update.
_FAREWELL = 1.0
# The shortest time between two updates, in seconds.
_PAUSE = 0.1
# Bytes a second that all displays together may send: Jupyter's server stops a notebook's output at
# 1,000,000 (ServerApp.iopub_data_rate_limit), and the cells want to print as well.
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
    """Start to show what a subscriber hears; see `Subscriber.watch`."""
    # A misspelt choice is reported now, not when the first message comes.
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
    """A subscriber that is shown in the background; made by `Subscriber.watch`.

    In a notebook, `live` as the last line of another cell shows it there, too. Leaving its `with`
    block stops it. Any threads may share it. It runs on while nobody holds it: in a notebook that
    is normal, and running its cell again replaces it.

    Attributes:
        error: The exception that ended it, which is shown as well; None for none.
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
        # Guards what other threads read, and tells them of news.
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
        """Whether it still receives."""
        return self._thread.is_alive() and not self._stopping

    @property
    def messages(self) -> list[Message]:
        """The newest messages, oldest first: as many as `keep` allows, 10,000 by default."""
        with self._news:
            return list(self._kept)

    @property
    def received(self) -> int:
        """How many messages it has taken so far, those that it no longer keeps included."""
        return self._received

    def wait(self, count: int = 1, *, timeout: float | None = None) -> int:
        """Wait until so many messages have come since it began.

        Ctrl+C and the stop button end the wait, and not the watch.

        Args:
            count: How many.
            timeout: Seconds; None waits forever, 0 checks once.

        Returns:
            How many have come, `count` or more.

        Raises:
            TimeoutError: They did not come in time.
            ValueError: `timeout` is negative.
            ClosedError: It ended before they came.
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
                # In slices: not everywhere does a signal end a longer wait.
                self._news.wait(left)
            return self._received

    def _why_fewer(self, count: int, timeout: float) -> str:
        text = f"{self._received} of {count} messages arrived within the timeout"
        subscriber = self._subscriber
        if self._received or subscriber is None:
            return text
        return f"{text}: {subscriber._timeout_cause(timeout)}"  # noqa: SLF001

    def stop(self) -> None:
        """End it; what was shown stays. The subscriber stays open, and can be read again.

        Returns when its thread has ended, within 0.2 seconds. Stopping twice changes nothing.
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
        """In the cell that began it, it is shown already; elsewhere it is shown once more."""
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
        except BaseException as error:  # noqa: BLE001 - shown and kept: nobody else sees it
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
        # What a chat says of itself is for chats.
        return [message for message in taken if not message._is_presence]  # noqa: SLF001

    def _log_all(self, messages: list[Message]) -> None:
        if self._log is None:
            return
        try:
            self._log.write_many(messages)
        except ZmqChatError as error:
            # A disk that is full must not end the chat.
            if not self._log_failure:
                import logging  # noqa: PLC0415 - most programs need it for nothing else

                logging.getLogger("zmqchat_rs").warning("not logged: %s", error.strerror)
            self._log_failure = error.strerror or str(error)
        else:
            self._log_failure = ""

    def _heading(self) -> str:
        """One line on how it stands."""
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
        """Show the end, whatever it was, and let go of all."""
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
        except Exception as error:  # noqa: BLE001 - nowhere is left to show it but stderr
            self.error = self.error or error
            with suppress(Exception):
                traceback.print_exc()
        with self._news:
            self._news.notify_all()


class View:
    """What a watch calls, all but `begin` from its own thread."""

    def begin(self, heading: str) -> None:
        """Show that it has begun."""

    def add(self, messages: list[Message]) -> None:
        """Take messages in, to be shown with the next `draw`."""
        raise NotImplementedError

    def draw(self, heading: str, *, sharing: int) -> float:
        """Show how it stands; seconds to let pass before the next time."""
        raise NotImplementedError

    def show_again(self, text: str) -> None:
        """Show it at a second place."""
        raise NotImplementedError

    def finish(self, heading: str, details: str) -> None:
        """Show that it has ended; `details` is a traceback, or empty."""
        raise NotImplementedError


class CellView(View):
    """A display that stays in its cell, and changes there."""

    def __init__(self, *, max_rows: int, color: Color, timestamps: Timestamps) -> None:
        self._rows = Rows(max_rows=max_rows, color=color, timestamps=timestamps)
        self._handle: Any = None
        self._shown: dict[str, Any] = {}

    def begin(self, heading: str) -> None:
        """Show the heading, in the cell that runs."""
        from IPython import display  # noqa: PLC0415 - a kernel has it

        show: Any = display.display  # typed or not, as IPython's version has it
        self._shown = bundle(heading, self._rows)
        self._handle = show(self._shown, raw=True, display_id=True)

    def add(self, messages: list[Message]) -> None:
        """Take messages in."""
        self._rows.add(messages)

    def draw(self, heading: str, *, sharing: int) -> float:
        """Put the newest messages in place of what is shown."""
        self._update(bundle(heading, self._rows))
        size = sum(len(text) for text in self._shown.values())
        return max(_PAUSE, size * max(1, sharing) / _BYTES_PER_SECOND)

    def show_again(self, text: str) -> None:  # noqa: ARG002 - the display tells more
        """Show it in the cell that runs, too; both change from then on."""
        self._handle.display(self._shown, raw=True)

    def finish(self, heading: str, details: str) -> None:
        """Show the last messages and how it ended."""
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
        """Nothing is left to do."""
        return _PAUSE

    def show_again(self, text: str) -> None:
        """Print what it is."""
        print(text)

    def finish(self, heading: str, details: str) -> None:  # noqa: ARG002 - the prompt is enough
        """Print what went wrong, if anything did."""
        if details and sys.stderr is not None:
            sys.stderr.write(details)


def _connections(subscriber: Subscriber) -> str:
    """Who is there, in a few words."""
    peers = subscriber.peers
    few = 3
    if not peers:
        at = ", ".join(subscriber.endpoints)
        return f"{at}: nobody yet" if at else "connected to nobody"
    if len(peers) <= few:
        return ", ".join(f"{peer.address} {peer.state}" for peer in peers)
    connected = sum(peer.state == "connected" for peer in peers)
    return f"{connected} of {len(peers)} connected"


def _counted(received: int) -> str:
    return f"{received:,} message" + ("" if received == 1 else "s")


def _farewell() -> None:
    """At the end of the kernel, have no cell say that it is live."""
    deadline = monotonic() + _FAREWELL
    with _changing:
        left = list(_running)
    for one in left:
        one._stopping = True  # noqa: SLF001 - all at once, then one after the other
    for one in left:
        one._end("the program ended", within=max(0.0, deadline - monotonic()))  # noqa: SLF001


# Before the package's own function, which closes all subscribers: the last one in is first.
atexit.register(_farewell)


def _forget() -> None:
    """In a forked child no thread of these is there."""
    global _changing  # noqa: PLW0603
    _changing = _threads.allocate_lock()
    _running.clear()


if sys.platform != "win32":
    import os

    os.register_at_fork(after_in_child=_forget)
