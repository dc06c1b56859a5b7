"""The end of a process: its threads finish first, then the linger of queued messages begins.

A program runs the functions of `atexit` after all threads except daemons. A child of
`multiprocessing` ends with `os._exit`, which skips `atexit`. It runs the finalizers of
`multiprocessing.util`, but before it waits for its threads. A child of a bare `os.fork` that ends
with `os._exit` runs neither: close its objects there.
"""

from __future__ import annotations

import atexit
import os
import sys

from ._core import _shutdown

# Runs after the other finalizers, which end the child's own children and queues.
_LAST = -1_000_000


def _end_program() -> None:
    if sys.version_info < (3, 9):
        # In later versions, pools finish their work before any function of `atexit` runs. Here they
        # use `atexit` themselves, and run after this function if they were imported first.
        pools = sys.modules.get("concurrent.futures.thread")
        if pools is not None:
            pools._python_exit()  # noqa: SLF001
    _shutdown()


def _end_child() -> None:
    import threading  # noqa: PLC0415 - loaded already wherever this is called

    try:
        # `multiprocessing` calls this next; the second call has no effect.
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    finally:
        _shutdown()


def _end_child_at_exit() -> None:
    """Register `_end_child` for the end of this `multiprocessing` child."""
    from multiprocessing import util  # noqa: PLC0415 - loaded already wherever this is called

    util.Finalize(None, _end_child, exitpriority=_LAST)


def _prepare_children() -> None:
    """Have `multiprocessing` call `_end_child_at_exit` when this process becomes its child.

    A new child drops the finalizers that existed before, so they are registered afterwards: after a
    fork, or after a forkserver's child has imported the main module.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_prepare_children, lambda _: _end_child_at_exit())


def register() -> None:
    """Register the end of this process, and of its children."""
    atexit.register(_end_program)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_prepare_children)
    _prepare_children()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _end_child_at_exit()
