"""The package works in the main interpreter of a process only; this module raises elsewhere.

The end of a subinterpreter runs its `atexit` functions, which would close the objects of the whole
process.
"""

try:
    import _interpreters as interpreters  # type: ignore[import-not-found]
except ImportError:
    try:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]
    except ImportError:  # a Python without subinterpreters
        interpreters = None

if interpreters is not None and interpreters.get_current() != interpreters.get_main():
    raise ImportError(
        "zmqchat_rs cannot be imported in a subinterpreter: import it in the main interpreter "
        "(mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
    )
