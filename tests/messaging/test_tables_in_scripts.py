"""Tables in a separate process: with one library, with none, and their memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_error_without_a_library_names_the_package_to_install(
    run_python: RunPython, library: str
) -> None:
    script = f"""
        import sys
        sys.modules["{library}"] = None
        from zmqchat_rs import Message, MessageTable, to_{library}

        for call in (MessageTable([]).to_{library}, lambda: to_{library}([])):
            try:
                call()
            except ImportError as error:
                print(error)
    """
    expected = f"this needs {library}, which is not installed here: pip install {library}\n"
    assert run_python(script) == (0, expected * 2, "")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_each_library_works_without_the_other_libraries(
    run_python: RunPython, library: str
) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    missing = {"pandas", "polars", "pyarrow"} - {library}
    script = f"""
        import sys

        class Missing:
            def find_spec(self, name, *_):
                if name in {sorted(missing)}:
                    raise ModuleNotFoundError(name, name=name)

        sys.meta_path.insert(0, Missing())
        from zmqchat_rs import Message, to_{library}
        frame = to_{library}([Message([b'{{"a": 1}}'])], json=True)
        print(frame["a"][0], frame["received_at"].dtype)
    """
    code, printed, _ = run_python(script, deadline=2 * TIMEOUT)
    kind = "datetime64[ns, UTC]" if library == "pandas" else "Datetime"
    assert (code, printed.split(" ")[0]) == (0, "1")
    assert kind in printed


def test_importing_the_package_imports_no_table_library(run_python: RunPython) -> None:
    script = """
        import sys, zmqchat_rs
        print({"numpy", "pandas", "polars", "pyarrow"} & set(sys.modules))
    """
    assert run_python(script) == (0, "set()\n", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_converting_tables_does_not_leak_memory(run_python: RunPython) -> None:
    script = """
        import re
        from pathlib import Path
        from zmqchat_rs import Message, MessageTable

        def resident():
            text = Path("/proc/self/status").read_text()
            return int(re.search(r"VmRSS:\\s+(\\d+)", text)[1])

        messages = [Message([b'{"a": %d, "b": [1]}' % number]) for number in range(20_000)]

        def convert():
            table = MessageTable(messages, json=True)
            table.__arrow_c_stream__()  # a capsule that is not consumed
            table.__arrow_c_schema__()
            try:
                import pyarrow
            except ImportError:
                return
            pyarrow.table(table).column("a").to_pylist()

        for _ in range(5):
            convert()
        before = resident()
        for _ in range(40):
            convert()
        # One table takes 5 MB.
        print(resident() - before < 40_000)
    """
    assert run_python(script, deadline=2 * TIMEOUT) == (0, "True\n", "")
