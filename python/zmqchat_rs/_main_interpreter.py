"""Raises an `ImportError` in a subinterpreter: the package works in the main interpreter only.

When a subinterpreter ends, it runs its `atexit` functions. These would close the objects of the
whole process.
"""

try:
    import _interpreters as interpreters  # type: ignore[import-not-found]
except ImportError:
    try:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]
    except ImportError:  # this Python has no subinterpreters
        interpreters = None

if interpreters is not None and interpreters.get_current() != interpreters.get_main():
    raise ImportError(
        "zmqchat_rs cannot be imported in a subinterpreter: import it in the main interpreter "
        "(mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
    )
