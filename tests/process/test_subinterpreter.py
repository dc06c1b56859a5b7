"""A subinterpreter cannot import the package, and does not affect the main interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython

_PROGRAM = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
try:
    shared = interpreters.create("legacy")  # as created by the C API, with one GIL for all
except TypeError:
    try:
        shared = interpreters.create(isolated=False)
    except TypeError:
        shared = interpreters.create()

def try_to_import():
    interpreters.run_string(shared, '''
try:
    import zmqchat_rs
except ImportError as error:
    print("ImportError:", error, flush=True)
''')

try_to_import()
from zmqchat_rs import Publisher, Subscriber
with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
    try_to_import()
    interpreters.destroy(shared)
    pub.wait_for_subscribers(timeout=20)
    pub.send("still open")
    print(sub.recv(timeout=20).text)
Publisher("127.0.0.1:0").close()
print("done")
"""


def test_an_import_in_a_subinterpreter_raises_import_error_and_closes_nothing(
    run_python: RunPython,
) -> None:
    """The result is the same before and after the main interpreter imports the package."""
    finished = run_python(_PROGRAM)
    assert finished.code == 0, finished
    first, second, *rest = finished.stdout.splitlines()
    assert first == second
    assert first.startswith("ImportError: zmqchat_rs cannot be imported in a subinterpreter")
    assert rest == ["still open", "done"]
