"""The notebook runs, and is kept with its figures."""

from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def figures(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if "image/png" in output.get("data", {})]


def test_it_is_kept_with_its_figures():
    assert len(figures(nbformat.read(NOTEBOOK, as_version=4))) == 3
    assert NOTEBOOK.stat().st_size < 400_000


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell["source"] = cell["source"].replace("epochs=40", "epochs=1")
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    assert any("epochs=1," in cell["source"] for cell in notebook.cells)
    options = dict(timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    nbclient.NotebookClient(notebook, **options).execute()
    assert len(figures(notebook)) == 3
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()
