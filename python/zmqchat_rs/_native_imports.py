"""Every module that native code, or a thread of this package, imports when it is first needed.

Programs that freeze a package, such as PyInstaller, search Python files for imports and do not see
those of native code: this file names them. Under gevent it is imported with the package, because a
thread of the system that imports a module while greenlets do so can deadlock on gevent's locks.
"""

import asyncio
import atexit
import builtins
import datetime  # noqa: ICN001 - named as native code names it
import difflib
import json
import logging
import sys
import threading
import weakref

from . import _asyncio, _core, _event_delivery
from .data import tables
from .diagnostics import probe
from .display import jupyter, notebook_cell, sinks, watch

__all__ = [
    "_asyncio",
    "_core",
    "_event_delivery",
    "asyncio",
    "atexit",
    "builtins",
    "datetime",
    "difflib",
    "json",
    "jupyter",
    "logging",
    "notebook_cell",
    "probe",
    "sinks",
    "sys",
    "tables",
    "threading",
    "watch",
    "weakref",
]
