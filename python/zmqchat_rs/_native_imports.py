"""Imports every module that native code, or a thread of this package, imports on first use.

Programs that freeze a package, such as PyInstaller, find the imports of Python files and not those
of native code. Under gevent, this file is imported with the package: a native thread that imports a
module while greenlets import can deadlock on gevent's locks.
"""

import asyncio
import atexit
import builtins
import datetime  # noqa: ICN001 - the name that native code uses
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
