"""Modules that native code imports by name are also imported in Python."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
# `import(py, intern!(py, "json"))`, and `CELL.import(py, "threading", "get_ident")`.
_NATIVE = re.compile(
    r'\bimport\(\s*(?:\w+\.py\(\)|py),\s*(?:(?:pyo3::)?intern!\(\s*(?:\w+\.py\(\)|py),\s*)?"([\w.]+)"'
)


def test_every_module_that_native_code_imports_is_imported_in_python() -> None:
    """A frozen program contains only the modules that some Python file imports."""
    native = {
        name
        for path in (_ROOT / "src" / "py").rglob("*.rs")
        for name in _NATIVE.findall(path.read_text(encoding="utf-8"))
    }
    assert {"json", "threading", "zmqchat_rs._event_delivery"} <= native
    tree = ast.parse((_ROOT / "python/zmqchat_rs/_native_imports.py").read_text(encoding="utf-8"))
    imported = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            imported |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            package = ".".join(filter(None, ["zmqchat_rs", node.module]))
            imported |= {f"{package}.{each.name}" for each in node.names}
    assert native <= imported
