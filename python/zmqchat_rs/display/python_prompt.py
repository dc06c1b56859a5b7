"""Prints from a thread while Python's own interpreter waits at its prompt.

A line editor draws the prompt and the typed text, and does not expect other output:

- GNU readline (up to Python 3.12, or with ``PYTHON_BASIC_REPL``): the line is erased, and written
  again below the output.
- ``_pyrepl`` (from Python 3.13 on) redraws only changed text, and only in its own thread. It calls
  a function ten times a second, which prints there and has everything redrawn.
- libedit (macOS) does not report the typed text: nothing is redrawn, and the text stays valid.

IPython does not need this: its ``sys.stdout`` prints above the prompt.
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

# Seconds until a request to a line editor expires; the editor polls every 0.1 s.
_PATIENCE = 2.0
_SLICE = 0.05

_ERASE_LINE = "\r\x1b[K"

_editors: dict[int, _Pyrepl] = {}
_making = threading.Lock()


def print_above_prompt(show: Callable[[], object]) -> None:
    """Call `show`, which prints whole lines to ``sys.stdout``, above the prompt.

    It may be called from any thread, and returns after `show` has returned.
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
        # If the prompt cannot be redrawn, the lines are printed below it.
        redrawn = typed and os.environ.get("TERM", "dumb") != "dumb"
        sys.stdout.write(_ERASE_LINE if redrawn else "\n")
    show()
    if typed:
        sys.stdout.write(typed)
        sys.stdout.flush()


@contextmanager
def _line_breaks_begin_lines() -> Iterator[None]:
    """Have line breaks begin at the left margin, which line editors switch off."""
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
    """Whether the module `readline` uses libedit.

    libedit never calls the function of `set_pre_input_hook`, and its `get_line_buffer` is outdated.
    """
    backend = getattr(readline, "backend", None)  # from Python 3.13 on
    return backend == "editline" or "libedit" in (getattr(readline, "__doc__", None) or "")


def _typed_at_readline() -> str | None:
    """The prompt of the basic interpreter, and the typed text.

    Returns:
        "" if the typed text is not known; None if no prompt is shown.
    """
    readline: Any = sys.modules.get("readline")
    prompt = getattr(sys, "ps1", None)
    if prompt is None or readline is None or not sys.stdout.isatty():
        return None
    # At its prompt, the basic interpreter runs no Python code in the main thread.
    if threading.main_thread().ident in sys._current_frames():  # noqa: SLF001
        return None
    return "" if is_libedit(readline) else f"{prompt}{readline.get_line_buffer()}"


# ---- _pyrepl, which has no public interface


def _reading_pyrepl() -> Any | None:  # noqa: ANN401
    """The reader of the line editor; None if it does not wait for keys."""
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
    """Print in the thread of the line editor; return whether this succeeded."""
    try:
        with _making:
            if id(reader) not in _editors:
                _editors[id(reader)] = _Pyrepl(reader)
            editor = _editors[id(reader)]
    except Exception:  # noqa: BLE001 - another version's inside
        return False
    return editor.show(show)


class _Request:
    """A request to another thread to print."""

    def __init__(self, show: Callable[[], object]) -> None:
        self.show = show
        self.done = threading.Event()
        self.error: BaseException | None = None


class _Pyrepl:
    """Prints for other threads in the thread of a `_pyrepl` reader."""

    def __init__(self, reader: Any) -> None:  # noqa: ANN401
        if reader.threading_hook is None:
            # Otherwise the editor would install its own hook at the next poll.
            from _pyrepl._threading_handler import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
                install_threading_hook,
            )

            install_threading_hook(reader)
        self._reader = reader
        self._before = reader.threading_hook
        self._requests: deque[_Request] = deque()
        reader.threading_hook = self._poll

    def show(self, show: Callable[[], object]) -> bool:
        """Print above the prompt; return whether this succeeded."""
        request = _Request(show)
        self._requests.append(request)
        deadline = monotonic() + _PATIENCE
        while not request.done.wait(_SLICE):
            # The line was entered meanwhile, or the editor is busy.
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
            except BaseException as error:  # noqa: BLE001 - raised in the requesting thread
                request.error = error
            finally:
                request.done.set()

    def _print(self, show: Callable[[], object]) -> None:
        reader = self._reader
        row = reader.cxy[1]
        # Between `restore` and `prepare`, the terminal has the program's settings.
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
    """In a forked child, the lock may be held by a thread that does not exist."""
    global _making  # noqa: PLW0603
    _making = threading.Lock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)
