"""The lessons in notebooks/ run from top to bottom and are stored without outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SECONDS = 120  # per cell; each takes less than a tenth of this

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_the_lessons_are_numbered_from_1_to_7() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]


@every_notebook
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    assert notebook["metadata"] == METADATA
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "Edit > Clear Outputs of All Cells, then save"
            assert cell["execution_count"] is None
    identities = [cell["id"] for cell in notebook["cells"]]
    assert len({*identities}) == len(identities)
    # The format is Jupyter's own, so that saving a notebook changes only the edited cells.
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=False) + "\n"
    assert path.read_text(encoding="utf-8") == text


@every_notebook
def test_a_notebook_has_a_title_and_a_next_step(path: Path) -> None:
    cells = read(path)["cells"]
    number = int(path.stem[:2])
    assert re.match(rf"# {number}\. \S", source(cells[0]))
    assert source(cells[-1]).startswith("## What to try next\n")
    # Every lesson except the last names the next one.
    if path != NOTEBOOKS[-1]:
        assert f"notebook {number + 1}" in source(cells[-1])
    code = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")
    # Several notebooks may run on one host, so none uses the default port.
    assert ":5555" not in code
    assert "Publisher()" not in code


@every_notebook
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    for needed in re.findall(r"^import (matplotlib|pandas|zmq)\b", json_code(path), re.MULTILINE):
        pytest.importorskip(needed, reason=f"needs {needed}")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            # Errors that are printed instead of raised are found as well.
            text = output.get("text", "") + output.get("data", {}).get("text/html", "")
            if output.get("name") == "stderr":
                assert path.stem.startswith("06"), text
                assert re.fullmatch(r"(lost \d+ messages? from \S+: .*\n)+", text), text
            assert "■ stopped by an error" not in text
    displays = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "display_data"
    ]
    if ".watch(" in json_code(path):
        assert any("■ stopped at" in data.get("text/html", "") for data in displays)
    if "matplotlib" in json_code(path):
        assert any("image/png" in data for data in displays)


def json_code(path: Path) -> str:
    cells = read(path)["cells"]
    return "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")
