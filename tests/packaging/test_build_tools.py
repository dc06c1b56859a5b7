"""A source build names the tool that is missing or too old before it begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).parents[2] / "tools"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tools are shell scripts")

GOOD = {"rustc": "rustc 1.95.0", "cargo": "cargo 1.95.0", "c++": "c++ 12", "cc": "cc 12"}

BUILD = """
import sys, types
maturin = types.ModuleType("maturin")
maturin.build_wheel = lambda *arguments, **options: "built.whl"
for name in ("build_sdist", "get_requires_for_build_editable", "get_requires_for_build_sdist",
             "get_requires_for_build_wheel", "prepare_metadata_for_build_wheel"):
    setattr(maturin, name, maturin.build_wheel)
sys.modules["maturin"] = maturin
import build_backend
print(build_backend.build_wheel("folder", None, None))
"""


def build(folder: Path, programs: dict[str, str], **environment: str) -> Any:
    """Build with a PATH of only these programs; each prints its version."""
    for name, printed in programs.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{printed}'\n")
        program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-c", BUILD],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={"PATH": str(folder), "PYTHONPATH": str(TOOLS), **environment},
        timeout=60,
    )


def test_with_all_tools_maturin_builds(tmp_path: Path) -> None:
    done = build(tmp_path, GOOD)
    assert (done.returncode, done.stdout, done.stderr) == (0, "built.whl\n", "")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"cargo": None}, "cargo is missing: Rust 1.83 or later compiles this package; get it"),
        ({"rustc": None, "cargo": None}, "rustc is missing"),
        ({"cargo": "cargo 0.66.0"}, "is too old: Rust 1.83 or later is needed; get it from"),
        ({"rustc": "rustc 1.63.0"}, "rustc 1.63 ("),
        ({"cc": None}, "The C compiler cc is missing: libsodium is compiled with it; on Debian"),
        ({"c++": None}, "The C++ compiler c++ is missing: libzmq is compiled with it; on Debian"),
    ],
)
def test_a_tool_that_is_missing_or_old_is_named(
    tmp_path: Path, changed: dict[str, str | None], expected: str
) -> None:
    programs = {name: text for name, text in {**GOOD, **changed}.items() if text is not None}
    done = build(tmp_path, programs)
    assert done.returncode == 1
    first, *sentences = done.stderr.splitlines()
    assert first == "zmqchat_rs cannot be built here."
    assert len(sentences) == len(changed)
    assert expected in sentences[0]


@pytest.mark.parametrize(
    ("variable", "usual", "chosen", "missing"),
    [("CXX", "c++", "clang++-15", "g++-99"), ("CC", "cc", "clang-15", "gcc-99")],
)
def test_the_build_checks_the_compiler_that_the_user_chose(
    tmp_path: Path, variable: str, usual: str, chosen: str, missing: str
) -> None:
    programs = {**GOOD, chosen: "clang 15"}
    del programs[usual]
    assert build(tmp_path, programs, **{variable: f"{chosen} -O1"}).returncode == 0
    assert f"compiler {missing} is missing" in build(tmp_path, GOOD, **{variable: missing}).stderr
