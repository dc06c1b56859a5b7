"""The end of `multiprocessing` children: what they have queued gets its linger, too.

Such a child ends with `os._exit`, which runs no `atexit` function, but it does run the finalizers
of `multiprocessing.util`. (A bare `os.fork` that ends with `os._exit` runs nothing at all: close
what you opened there.)
"""

import os
import sys

from ._core import _shutdown


def _at_the_end() -> None:
    """Have the current `multiprocessing` child shut down at its end."""
    from multiprocessing import util  # noqa: PLC0415 - loaded already wherever this is called

    util.Finalize(None, _shutdown, exitpriority=0)


def _expect_start() -> None:
    """Have `multiprocessing` call `_at_the_end` when it starts a child in this process.

    It forgets the finalizers that were there before, so that they must be made then: after a fork,
    or after a forkserver's child has imported the main module.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_expect_start, lambda _: _at_the_end())


def watch() -> None:
    """Care for children of this process, and for this process if it is one."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_expect_start)
    _expect_start()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _at_the_end()
