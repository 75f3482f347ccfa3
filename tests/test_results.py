"""The results: made again from the packed weights, and what the README says of them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from flags.common import FLAGS
from tools import regenerate, tables

ROOT = Path(__file__).resolve().parents[1]
RESULTS = list((ROOT / "results").glob("*/*-seed*/evaluation.csv"))
PACKED = list((ROOT / "pretrained").glob("*/*/config.json"))


def test_readme_has_the_results_as_they_are():
    readme = (ROOT / "README.md").read_text()
    assert tables.updated(readme) == readme
    changed = readme.replace(" ± ", " +- ")
    assert tables.updated(changed).count(" ± ") > 20
    with pytest.raises(ValueError, match="regression, not 1"):
        tables.updated(readme.replace("<!-- regression -->", ""))


def test_every_row_has_its_run():
    measured = {path.parent.relative_to(ROOT / "results") for path in RESULTS}
    packed = {path.parent.relative_to(ROOT / "pretrained") for path in PACKED}
    assert packed and measured == packed


def test_packed_weights_make_the_row_again(tmp_path, monkeypatch):
    run = Path("navigation_2d_wide", "random-seed0")
    shutil.copytree(ROOT / "pretrained" / run, tmp_path / "pretrained" / run)
    monkeypatch.setattr(regenerate, "ROOT", tmp_path)
    FLAGS(["test"])
    regenerate.regenerate("navigation_2d_wide", measure=False)
    again, before = (
        pd.read_csv(root / "results" / run / "evaluation.csv") for root in (tmp_path, ROOT)
    )
    assert list(again["num_tasks"]) == list(before["num_tasks"])
    pd.testing.assert_frame_equal(again, before, rtol=1e-3)
    made = {path.name for path in (tmp_path / "results" / "navigation_2d_wide").iterdir()}
    assert made == {"table.md", "evaluation.csv", "training.png", "adaptation.png", run.name}
