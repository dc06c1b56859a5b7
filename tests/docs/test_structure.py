"""The layers of the sources: which file imports which, without circles.

The checks read ``use`` lines and paths of the Rust files, without their tests, and every import
of the Python files, including those inside functions and under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
import re
from itertools import chain, takewhile
from pathlib import Path
from typing import Dict, Iterable, Iterator, Mapping, Sequence, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "zmqchat_rs"

# Each group imports only from the groups after it, or as SIBLINGS allows.
RUST_LAYERS = (
    ("lib.rs",),
    ("py",),
    ("net", "transcript", "render", "table"),
    ("wire",),
    ("util", "error.rs"),
)
NET_LAYERS = (
    ("mod.rs",),
    ("publisher", "subscriber", "relay"),
    ("subscription",),
    ("socket",),
    ("connection",),
    ("runtime",),
    ("zmq",),
)
PYTHON_LAYERS = (
    ("__main__.py",),
    ("cli",),
    ("__init__.py",),
    ("_native_imports.py",),
    ("_event_delivery.py", "probe.py"),
    ("chat", "diagnostics"),
    ("data", "display"),
    (
        "_asyncio.py",
        "_lifecycle.py",
        "_main_interpreter.py",
        "_rate_limit.py",
        "_threads.py",
        "_validation.py",
        "events.py",
    ),
    ("_core",),
)
SIBLINGS = {("src/util", "src/error.rs")}
# Each crate that only some folders may name.
CRATES = {"zmq": ("src/net/",), "zmq_sys": ("src/net/",), "pyo3": ("src/py/",)}
# Folders and files that may contain `unsafe`.
UNSAFE = (
    "src/util/",
    "src/net/zmq/",
    "src/table/",
    "src/py/convert/objects.rs",
    "src/py/convert/pybytes.rs",
    "src/py/convert/zero_copy.rs",
    "src/py/message.rs",
)
Name = Tuple[str, ...]  # the parts of a module's name
Imports = Dict[str, Dict[str, Set[str]]]  # importing file -> imported file -> imported names
Violation = Tuple[str, str]  # headline, details

RUST_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(?P<hashes>#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^\n]+?|[^\\'\n])'""",
    re.DOTALL,
)


def rust_code(text: str) -> str:
    """The source without comments, strings and characters."""
    return RUST_TOKEN.sub(lambda found: '""' if found[0][0] != "/" else " ", text)


def block_end(code: str, start: int) -> int:
    """Where the braces that open at `start` are closed."""
    depth = 0
    for found in re.finditer(r"[{}]", code[start:]):
        depth += 1 if found[0] == "{" else -1
        if depth == 0:
            return start + found.end()
    return len(code)


def without_tests(code: str) -> str:
    """The code without the items that only tests compile."""
    while True:
        attribute = re.search(r"#\[cfg\((?:test\b|all\(test\b)", code)
        if attribute is None:
            return code
        opening = re.compile(r"[;{]").search(code, attribute.end())
        if opening is None:
            return code[: attribute.start()]
        end = opening.end() if opening[0] == ";" else block_end(code, opening.start())
        code = code[: attribute.start()] + code[end:]


def use_paths(tree: str) -> Iterator[tuple[list[str], str]]:
    """Each path of a `use` tree, and the name under which it is used."""
    head, brace, rest = tree.partition("{")
    prefix = [part.strip() for part in head.split("::") if part.strip()]
    if not brace:
        path, _, alias = head.partition(" as ")
        parts = [part.strip() for part in path.split("::") if part.strip()]
        parts = parts[:-1] if parts[1:] and parts[-1] == "self" else parts
        yield parts, alias.strip() or parts[-1]
        return
    depth, branch = 0, ""
    for character in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            if branch.strip():
                for path_parts, alias in use_paths(branch):
                    own = path_parts != ["self"]
                    whole = prefix + (path_parts if own else [])
                    yield whole, alias if own or alias != "self" else prefix[-1]
            branch = ""
        else:
            branch += character


def absolute(path: Sequence[str], module: Name, files: Mapping[Name, str]) -> Name:
    """The path from the root of the crate; empty for a path into another crate."""
    if path[0] == "crate":
        return tuple(path)
    ups = list(takewhile(lambda part: part in {"self", "super"}, path))
    if ups or (*module, path[0]) in files:
        above = module[: len(module) - ups.count("super")]
        return ("crate", *above, *path[len(ups) :])
    return ()


def rust_paths(code: str, module: Name, files: Mapping[Name, str]) -> tuple[list[Name], set[str]]:
    """Every path from the root of the crate that a file names, and the other crates it names."""
    used: list[Name] = []
    crates: set[str] = set()
    aliases: dict[str, Name] = {}
    for statement in re.findall(r"\buse\s+([^;]+);", code):
        for path, alias in use_paths(statement):
            target = absolute(path, module, files)
            if target[1:] in files:
                aliases[alias] = target
            used.append(target)
            crates.update({path[0]} if not target else ())
    code = re.sub(r"\buse\s+[^;]+;", " ", code)
    for text in re.findall(r"(?<![\w:])\w+(?:\s*::\s*\w+)+", code):
        path = [part.strip() for part in text.split("::")]
        start = aliases.get(path[0])
        target = (*start, *path[1:]) if start else absolute(path, module, files)
        used.append(target)
        crates.update({path[0]} if not target else ())
    return [target for target in used if target], crates


def rust_imports(root: Path) -> tuple[Imports, dict[str, set[str]]]:
    """Which Rust file imports which, and the other crates that each file names."""
    files: dict[Name, str] = {}
    for path in sorted((root / "src").rglob("*.rs")):
        parts = path.relative_to(root / "src").with_suffix("").parts
        if "tests" not in parts:
            name = parts[:-1] if parts[-1] in {"mod", "lib"} else parts
            files[name] = path.relative_to(root).as_posix()

    graph: Imports = {file: {} for file in files.values()}
    crates: dict[str, set[str]] = {}
    for module, file in files.items():
        code = without_tests(rust_code((root / file).read_text(encoding="utf-8")))
        code = re.sub(r"\bpub\s*\([^)]*\)|\bextern\s+crate\b", " ", code)
        used, crates[file] = rust_paths(code, module, files)
        for target in used:
            name = target[1:]
            while name not in files:
                name = name[:-1]
            # A folder that is named alone only shortens the paths below it.
            alone = name == target[1:] and files[name].endswith("/mod.rs")
            if name != module and not alone:
                names = graph[file].setdefault(files[name], set())
                names.add("::".join(target[1 + len(name) :]) or "the module")
    return graph, crates


def python_imports(root: Path, package: Path) -> Imports:
    """Which file of a Python package imports which."""
    files: dict[tuple[str, ...], str] = {}
    if package.name == PACKAGE:
        files[(PACKAGE, "_core")] = f"python/{PACKAGE}/_core"
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = parts[:-1] if parts[-1] == "__init__" else parts
        files[name] = path.relative_to(root).as_posix()

    graph: Imports = {file: {} for file in files.values()}
    for module, file in files.items():
        if not file.endswith(".py"):
            continue
        parent = module if file.endswith("__init__.py") else module[:-1]
        for node in ast.walk(ast.parse((root / file).read_text(encoding="utf-8"))):
            targets: list[tuple[str, ...]] = []
            if isinstance(node, ast.Import):
                targets = [tuple(alias.name.split(".")) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = parent[: len(parent) - node.level + 1] if node.level else ()
                base += tuple(node.module.split(".")) if node.module else ()
                targets = [(*base, alias.name) for alias in node.names]
            for target in targets:
                found = target if target in files else target[:-1]
                if target[0] == package.name and found in files and found != module:
                    names = graph[file].setdefault(files[found], set())
                    names.add(".".join(target[len(found) :]) or "the module")
    return graph


def shortest_circle(graph: Imports) -> list[str]:
    """The files of a shortest circle; the first is repeated at the end. Empty without a circle."""
    best: list[str] = []
    for start in sorted(graph):
        paths, seen = [[start]], {start}
        while paths and not (best and len(paths[0]) >= len(best)):
            path = paths.pop(0)
            for following in sorted(graph[path[-1]]):
                if following == start:
                    best, paths = [*path, start], []
                    break
                if following not in seen:
                    seen.add(following)
                    paths.append([*path, following])
    return best


def described(graph: Imports, circle: Sequence[str]) -> str:
    """The circle, file by file, with the imported names."""
    return "\n".join(
        f"    {file} imports {', '.join(sorted(graph[file][imported]))} from {imported}"
        for file, imported in zip(circle, circle[1:])
    )


def circles(graph: Imports) -> Iterator[Violation]:
    """A shortest circle between the entries of each folder: files, and folders as a whole."""
    folders = {str(parent) for file in graph for parent in Path(file).parents}
    for folder in sorted(folders - {"."}):
        prefix = folder + "/"
        inside = [file for file in graph if file.startswith(prefix)]
        entries: Imports = {prefix + file[len(prefix) :].split("/")[0]: {} for file in inside}
        for file in inside:
            entry = prefix + file[len(prefix) :].split("/")[0]
            for imported, names in graph[file].items():
                other = prefix + imported[len(prefix) :].split("/")[0]
                if imported.startswith(prefix) and other != entry:
                    reasons = entries[entry].setdefault(other, set())
                    where = (
                        "" if (entry, other) == (file, imported) else f" ({file} from {imported})"
                    )
                    reasons.update(name + where for name in names)
        circle = shortest_circle(entries)
        if circle:
            yield f"circle in {folder}", described(entries, circle)


def wrong_layers(
    graph: Imports, folder: str, layers: Sequence[Sequence[str]]
) -> Iterator[Violation]:
    """Imports from the same layer or a higher one, and entries of the folder without a layer."""
    prefix = folder + "/"
    rank = {prefix + entry: number for number, group in enumerate(layers) for entry in group}
    unplaced: set[str] = set()
    upward: dict[tuple[str, str], list[str]] = {}
    for file in sorted(graph):
        if not file.startswith(prefix):
            continue
        entry = prefix + file[len(prefix) :].split("/")[0]
        unplaced.update({entry} - set(rank))
        for imported, names in sorted(graph[file].items()):
            other = prefix + imported[len(prefix) :].split("/")[0]
            known = entry in rank and other in rank
            if (
                known
                and entry != other
                and rank[other] <= rank[entry]
                and (entry, other) not in SIBLINGS
            ):
                text = f"    {file} imports {', '.join(sorted(names))} from {imported}"
                upward.setdefault((entry, other), []).append(text)
    if unplaced:
        yield f"entries of {folder} without a layer", "    " + ", ".join(sorted(unplaced))
    for (entry, other), lines in sorted(upward.items()):
        yield f"{entry} imports from {other}", "\n".join(lines)


def wrong_crates(crates: dict[str, set[str]]) -> Iterator[Violation]:
    """Files that name a crate which belongs to another folder."""
    for file, named in sorted(crates.items()):
        for crate in sorted(named & set(CRATES)):
            if not file.startswith(CRATES[crate]):
                yield f"{file} names the crate {crate}", f"    only {', '.join(CRATES[crate])} may"


def wrong_unsafe(root: Path) -> Iterator[Violation]:
    """Files with `unsafe` that are not listed."""
    for path in sorted((root / "src").rglob("*.rs")):
        file = path.relative_to(root).as_posix()
        unsafe = re.search(r"\bunsafe\b", rust_code(path.read_text(encoding="utf-8")))
        if unsafe and not file.startswith(UNSAFE):
            yield f"unsafe in {file}", f"    allowed in {', '.join(UNSAFE)}"


def violations(root: Path) -> list[Violation]:
    """Everything in the tree that breaks the rules of this file."""
    rust, crates = rust_imports(root)
    python = python_imports(root, root / "python" / PACKAGE)
    return list(
        chain(
            circles(rust),
            circles(python),
            circles(python_imports(root, root / "benches")),
            wrong_layers(rust, "src", RUST_LAYERS),
            wrong_layers(rust, "src/net", NET_LAYERS),
            wrong_layers(python, f"python/{PACKAGE}", PYTHON_LAYERS),
            wrong_crates(crates),
            wrong_unsafe(root),
        )
    )


def test_the_sources_follow_the_layers_without_circles() -> None:
    found = [f"{headline}:\n{details}" for headline, details in violations(ROOT)]
    assert not found, "\n\n".join(["", *found])


def write(root: Path, files: dict[str, str]) -> Path:
    """Files of a made-up project, besides an empty package."""
    for name, text in {f"python/{PACKAGE}/__init__.py": "", "src/lib.rs": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def headlines(found: Iterable[Violation]) -> list[str]:
    return [headline for headline, _ in found]


def test_a_tree_in_layers_has_no_violations(tmp_path: Path) -> None:
    files = {
        "src/lib.rs": "pub mod net;\npub mod wire;\nmod py;\n",
        "src/py/mod.rs": "use pyo3::*;\nuse crate::net::{self, A};\nfn f() { net::run() }\n",
        "src/net/mod.rs": "pub use crate::net::publisher::Publisher;\n",
        "src/net/publisher/mod.rs": "use crate::wire::topic::{self, a as b};\nuse zmq::S;\n",
        "src/wire/mod.rs": "pub mod topic;\n",
        "src/wire/topic.rs": (
            "// use crate::net::Publisher;\n"
            'const TEXT: &str = "crate::net::publisher";\nconst QUOTE: char = \'"\';\n'
            "#[cfg(test)]\nmod tests {\n    use crate::net::P;\n    fn f() { unsafe {} }\n}\n"
        ),
        "src/wire/tests.rs": "use crate::net::Publisher;\n",
        "python/zmqchat_rs/cli/__init__.py": "from zmqchat_rs.chat import engine\n",
        "python/zmqchat_rs/chat/__init__.py": "",
        "python/zmqchat_rs/chat/engine.py": "from .._core import A\nfrom ..events import B\n",
        "python/zmqchat_rs/events.py": "from ._core import Publisher\n",
    }
    tree = write(tmp_path, files)
    assert headlines(violations(tree)) == ["unsafe in src/wire/topic.rs"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("use crate::wire::b::B;", "use crate::wire::a::A;"),
        ("use super::b::{B as Other, C};", "fn f() { crate::wire::a::run(); }"),
        ("use crate::{wire::{b::{self}}};", "use crate::wire;\nfn f() { wire::a::run() }"),
        ("fn f(b: super::b::B) {}", "pub(crate) use crate::wire::{a::*};"),
    ],
)
def test_a_circle_between_rust_files_is_reported_with_its_names(
    tmp_path: Path, first: str, second: str
) -> None:
    tree = write(tmp_path, {"src/wire/mod.rs": "", "src/wire/a.rs": first, "src/wire/b.rs": second})
    ((headline, details),) = violations(tree)
    assert headline == "circle in src/wire"
    assert re.search(r"src/wire/a\.rs imports .*(B|the module|C).* from src/wire/b\.rs", details)
    assert re.search(r"src/wire/b\.rs imports .*(A|run|\*).* from src/wire/a\.rs", details)


def test_a_child_that_imports_what_its_parent_reexports_is_in_a_circle(tmp_path: Path) -> None:
    files = {
        "src/table/mod.rs": "mod builder;\nmod column;\npub use crate::table::column::Column;\n",
        "src/table/column.rs": "use crate::table::LIMIT;\n",
    }
    assert headlines(violations(write(tmp_path, files))) == ["circle in src/table"]
    files["src/table/mod.rs"] = "mod column;\npub use column::Column;\n"
    assert headlines(violations(write(tmp_path, files))) == ["circle in src/table"]


def test_a_circle_between_folders_is_reported_even_without_one_between_files(
    tmp_path: Path,
) -> None:
    files = {
        "src/net/socket/a.rs": "use crate::net::socket::b::B;\nuse crate::net::runtime::c::C;\n",
        "src/net/socket/b.rs": "",
        "src/net/runtime/c.rs": "use crate::net::socket::b::B;\n",
    }
    found = violations(write(tmp_path, files))
    assert headlines(found) == ["circle in src/net", "src/net/runtime imports from src/net/socket"]
    assert "B (src/net/runtime/c.rs from src/net/socket/b.rs)" in found[0][1]


@pytest.mark.parametrize(
    ("importing", "imported"),
    [
        ("src/wire/a.rs", "src/net/b.rs"),
        ("src/net/a.rs", "src/py/b.rs"),
        ("src/render/a.rs", "src/transcript/b.rs"),
        ("src/error.rs", "src/util/b.rs"),
        ("src/net/zmq/a.rs", "src/net/relay/b.rs"),
        ("src/net/publisher/a.rs", "src/net/relay/b.rs"),
    ],
)
def test_a_rust_import_from_a_higher_layer_is_reported(
    tmp_path: Path, importing: str, imported: str
) -> None:
    path = "::".join(Path(imported).with_suffix("").parts[1:])
    found = violations(write(tmp_path, {importing: f"use crate::{path}::B;", imported: ""}))
    entries = [
        "/".join(Path(file).parts[: 3 if imported.startswith("src/net/r") else 2])
        for file in (importing, imported)
    ]
    assert f"{entries[0]} imports from {entries[1]}" in headlines(found)


@pytest.mark.parametrize(
    "text",
    [
        "from ..cli import main",
        "from zmqchat_rs.cli import main",
        "import zmqchat_rs.cli",
        "def f():\n    from zmqchat_rs import cli",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli.main import run",
    ],
)
def test_a_python_import_from_a_higher_layer_is_reported(tmp_path: Path, text: str) -> None:
    files = {
        "python/zmqchat_rs/cli/__init__.py": "",
        "python/zmqchat_rs/cli/main.py": "",
        "python/zmqchat_rs/chat/engine.py": text,
    }
    found = violations(write(tmp_path, files))
    assert headlines(found) == ["python/zmqchat_rs/chat imports from python/zmqchat_rs/cli"]


def test_a_circle_between_python_files_is_reported_with_its_names(tmp_path: Path) -> None:
    files = {
        "python/zmqchat_rs/chat/a.py": "def f():\n    from .b import B\n",
        "python/zmqchat_rs/chat/b.py": "from . import a\n",
    }
    ((headline, details),) = violations(write(tmp_path, files))
    assert headline == "circle in python/zmqchat_rs/chat"
    assert "b.py imports the module from python/zmqchat_rs/chat/a.py" in details


def test_a_folder_without_a_layer_is_reported(tmp_path: Path) -> None:
    tree = write(tmp_path, {"src/helpers/a.rs": "", "python/zmqchat_rs/helpers.py": ""})
    assert headlines(violations(tree)) == [
        "entries of src without a layer",
        "entries of python/zmqchat_rs without a layer",
    ]


@pytest.mark.parametrize(
    ("file", "text", "crate"),
    [
        ("src/wire/a.rs", "use zmq::Socket;", "zmq"),
        ("src/util/a.rs", "fn f() -> i32 { zmq_sys::errno() }", "zmq_sys"),
        ("src/net/a.rs", "use pyo3::{prelude::*, types};", "pyo3"),
    ],
)
def test_a_crate_outside_its_folder_is_reported(
    tmp_path: Path, file: str, text: str, crate: str
) -> None:
    found = headlines(violations(write(tmp_path, {file: text})))
    assert f"{file} names the crate {crate}" in found


@pytest.mark.parametrize("file", ["src/wire/a.rs", "src/py/stats.rs", "src/net/relay/a.rs"])
def test_unsafe_outside_the_listed_files_is_reported(tmp_path: Path, file: str) -> None:
    tree = write(tmp_path, {file: "fn f() { unsafe { g() } }", "src/util/b.rs": "unsafe fn g() {}"})
    assert headlines(violations(tree)) == [f"unsafe in {file}"]
