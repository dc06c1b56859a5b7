"""The end of a process: threads that still work first, then what is queued gets its linger.

A program ends with the functions of `atexit`, after all threads but the daemons. A child of
`multiprocessing` ends with `os._exit`, which runs none of them, but it does run the finalizers of
`multiprocessing.util`, before it waits for its threads. (A bare `os.fork` that ends with `os._exit`
runs nothing at all: close what you opened there.)
"""

from __future__ import annotations

import atexit
import os
import sys

from ._core import _shutdown

# After all others: the child's own children and queues have come to their end.
_LAST = -1_000_000


def _end_program() -> None:
    if sys.version_info < (3, 9):
        # Later versions let pools finish their work before any function of `atexit` runs; here they
        # do it in one of their own, which comes after ours if they were imported first.
        pools = sys.modules.get("concurrent.futures.thread")
        if pools is not None:
            pools._python_exit()  # noqa: SLF001
    _shutdown()


def _end_child() -> None:
    import threading  # noqa: PLC0415 - loaded already wherever this is called

    try:
        # What `multiprocessing` does next, and what then finds nothing left to do.
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    finally:
        _shutdown()


def _at_the_end() -> None:
    """Have the current `multiprocessing` child shut down at its end."""
    from multiprocessing import util  # noqa: PLC0415 - loaded already wherever this is called

    util.Finalize(None, _end_child, exitpriority=_LAST)


def _expect_start() -> None:
    """Have `multiprocessing` call `_at_the_end` when it starts a child in this process.

    It forgets the finalizers that were there before, so that they must be made then: after a fork,
    or after a forkserver's child has imported the main module.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_expect_start, lambda _: _at_the_end())


def watch() -> None:
    """Care for this process, and for children of it."""
    atexit.register(_end_program)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_expect_start)
    _expect_start()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _at_the_end()
