"""Printing from a thread while Python's own interpreter waits at its prompt.

A line editor draws the prompt and the typed text. It does not expect other output there:

- GNU readline (up to Python 3.12, or with ``PYTHON_BASIC_REPL``): the line is erased, and written
  again below what is printed.
- ``_pyrepl`` (from Python 3.13 on) redraws only text that it believes has changed, and only in its
  own thread. A function that it calls ten times a second prints there, and has everything redrawn.
- libedit (macOS) does not give the typed text: nothing is redrawn, and the typed text stays valid.

IPython needs nothing of this: its ``sys.stdout`` prints above the prompt.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any, Callable, Iterator

# How long a line editor may leave a request to print alone, in seconds; it looks every 0.1 s.
_PATIENCE = 2.0
_SLICE = 0.05

_ERASE_LINE = "\r\x1b[K"

_editors: dict[int, _Pyrepl] = {}
_making = threading.Lock()


def print_above_prompt(show: Callable[[], object]) -> None:
    """Call `show`, which prints whole lines to ``sys.stdout``, and keep the prompt intact.

    It may be called from any thread; `show` is done when this returns.
    """
    reader = _reading_pyrepl()
    if reader is not None and _show_in_pyrepl(reader, show):
        return
    if reader is not None:
        with _line_breaks_begin_lines():
            sys.stdout.write("\n")
            show()
        return
    typed = _typed_at_readline()
    if typed is not None:
        # Where the prompt cannot be written anew, the lines begin below it.
        redrawn = typed and os.environ.get("TERM", "dumb") != "dumb"
        sys.stdout.write(_ERASE_LINE if redrawn else "\n")
    show()
    if typed:
        sys.stdout.write(typed)
        sys.stdout.flush()


@contextmanager
def _line_breaks_begin_lines() -> Iterator[None]:
    """Have the terminal begin each line at its left margin, which line editors switch off."""
    try:
        import termios  # noqa: PLC0415 - Windows has none
    except ImportError:
        yield
        return
    try:
        descriptor = sys.stdout.fileno()
        before = termios.tcgetattr(descriptor)
    except (AttributeError, OSError, ValueError, termios.error):
        yield
        return
    modes = list(before)
    modes[1] |= termios.OPOST
    termios.tcsetattr(descriptor, termios.TCSADRAIN, modes)
    try:
        yield
        sys.stdout.flush()
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def is_libedit(readline: ModuleType | None) -> bool:
    """Whether it is libedit under readline's name.

    It accepts `set_pre_input_hook` without ever calling it, and `get_line_buffer` is out of date.
    """
    backend = getattr(readline, "backend", None)  # from Python 3.13 on
    return backend == "editline" or "libedit" in (getattr(readline, "__doc__", None) or "")


def _typed_at_readline() -> str | None:
    """The prompt of the basic interpreter, and the text behind it.

    Returns:
        "" where a prompt is shown and the text is not known; None where no prompt is shown.
    """
    readline: Any = sys.modules.get("readline")
    prompt = getattr(sys, "ps1", None)
    if prompt is None or readline is None or not sys.stdout.isatty():
        return None
    # At its prompt the basic interpreter runs no Python code in its main thread.
    if threading.main_thread().ident in sys._current_frames():  # noqa: SLF001
        return None
    return "" if is_libedit(readline) else f"{prompt}{readline.get_line_buffer()}"


# ---- _pyrepl, which has no public interface


def _reading_pyrepl() -> Any | None:  # noqa: ANN401
    """The reader of the line editor; None unless it waits for keys."""
    module = sys.modules.get("_pyrepl.readline")
    if module is None or not any(map(_reads_keys, sys._current_frames().values())):  # noqa: SLF001
        return None
    try:
        return module._get_reader()  # noqa: SLF001
    except Exception:  # noqa: BLE001 - another version's inside
        return None


def _reads_keys(frame: FrameType) -> bool:
    names = (each.f_globals.get("__name__") for each in _outwards(frame))
    return "_pyrepl.reader" in names


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _show_in_pyrepl(reader: Any, show: Callable[[], object]) -> bool:  # noqa: ANN401
    """Have the line editor's own thread print; whether that was done."""
    try:
        with _making:
            if id(reader) not in _editors:
                _editors[id(reader)] = _Pyrepl(reader)
            editor = _editors[id(reader)]
    except Exception:  # noqa: BLE001 - another version's inside
        return False
    return editor.show(show)


class _Request:
    """Something to be printed by another thread."""

    def __init__(self, show: Callable[[], object]) -> None:
        self.show = show
        self.done = threading.Event()
        self.error: BaseException | None = None


class _Pyrepl:
    """A reader that prints what other threads ask for."""

    def __init__(self, reader: Any) -> None:  # noqa: ANN401
        if reader.threading_hook is None:
            # The editor would install its own one with the next look, unless one is there.
            from _pyrepl._threading_handler import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
                install_threading_hook,
            )

            install_threading_hook(reader)
        self._reader = reader
        self._before = reader.threading_hook
        self._requests: deque[_Request] = deque()
        reader.threading_hook = self._poll

    def show(self, show: Callable[[], object]) -> bool:
        """Have it printed above the prompt; whether it was."""
        request = _Request(show)
        self._requests.append(request)
        deadline = monotonic() + _PATIENCE
        while not request.done.wait(_SLICE):
            # Enter was pressed meanwhile, or the editor is busy with something else.
            if _reading_pyrepl() is None or monotonic() > deadline:
                try:
                    self._requests.remove(request)
                except ValueError:
                    continue  # it is being printed
                return False
        if request.error is not None:
            raise request.error
        return True

    def _poll(self) -> None:
        """Called by the editor, in its thread, while it waits for a key."""
        if self._before is not None:
            self._before()
        while self._requests:
            try:
                request = self._requests.popleft()
            except IndexError:
                return
            try:
                self._print(request.show)
            except KeyboardInterrupt:
                raise  # the interpreter's, not the printing thread's
            except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                request.error = error
            finally:
                request.done.set()

    def _print(self, show: Callable[[], object]) -> None:
        reader = self._reader
        row = reader.cxy[1]
        # Between these two the terminal is the program's, as it is while a statement runs.
        reader.console.restore()
        try:
            up = f"\x1b[{row}A" if row else ""
            sys.stdout.write(f"\r{up}\x1b[J")
            show()
            sys.stdout.flush()
        finally:
            reader.console.prepare()
            reader.refresh()


def _forget() -> None:
    """In a forked child the lock may be held by a thread that is not there."""
    global _making  # noqa: PLW0603
    _making = threading.Lock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)
