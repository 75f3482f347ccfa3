"""The results: made again from the packed weights, and what the README says of them."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf

from tools import model_card, places, regenerate, rows, tables

ROOT = Path(__file__).resolve().parents[1]
RESULTS = list((ROOT / "results").glob("*/*-seed*/evaluation.csv"))
PACKED = list((ROOT / "pretrained").glob("*/*/config.json"))


def test_texts_have_the_results_as_they_are():
    texts = {path: path.read_text() for path in places.texts()}
    assert tables.updated(texts) == texts
    changed = tables.updated({path: text.replace(" ± ", " +- ") for path, text in texts.items()})
    assert all(text.count(" ± ") > 20 for text in changed.values())
    for path, text in texts.items():
        linked = re.findall(r"\]\(([^)#:]+)[)#]", text)
        assert linked and all((path.parent / target).exists() for target in linked)
        for block in re.split(r"\n\s*\n", text):
            lines = [line for line in block.splitlines() if "| " in line or "|-" in line]
            if any("|---" in line for line in lines):
                assert len({line.count("|") for line in lines}) == 1, block
    readme, _ = places.texts()
    without = texts | {readme: texts[readme].replace("<!-- regression -->", "")}
    with pytest.raises(ValueError, match="regression, not 1"):
        tables.updated(without)


def test_every_row_has_its_run():
    measured = {path.parent.relative_to(ROOT / "results") for path in RESULTS}
    packed = {path.parent.relative_to(ROOT / "pretrained") for path in PACKED}
    assert packed and measured == packed


# One whose tasks take no steps, and one that takes ten on few tasks.
@pytest.mark.parametrize("run", ["navigation_2d_wide/oracle-seed0", "sinusoid/maml-k5-seed0"])
def test_packed_weights_make_the_row_again(run, tmp_path, monkeypatch):
    domain = Path(run).parts[0]
    shutil.copytree(ROOT / "pretrained" / run, tmp_path / "pretrained" / run)
    monkeypatch.setattr(places, "ROOT", tmp_path)
    regenerate.regenerate(domain, measure=False)
    again, before = (
        pd.read_csv(root / "results" / run / "evaluation.csv") for root in (tmp_path, ROOT)
    )
    assert list(again["num_tasks"]) == list(before["num_tasks"])
    pd.testing.assert_frame_equal(again, before, rtol=1e-3)
    made = {path.name for path in (tmp_path / "results" / domain).iterdir()}
    assert {"table.md", "evaluation.csv", "training.png", Path(run).name} <= made


@pytest.mark.parametrize("domain", rows.SERVED)
def test_the_served_model_has_the_weights_of_its_run(domain):
    def arrays(prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        types = reader.get_variable_to_dtype_map()
        names = [name for name, kind in types.items() if kind == tf.float32]
        return {reader.get_tensor(name).tobytes() for name in names}

    served = ROOT / "pretrained" / domain / "saved_model"
    (file,) = (ROOT / "pretrained" / domain / rows.SERVED[domain]).rglob("ckpt-*.index")
    weights = arrays(file.with_suffix(""))
    assert len(weights) > 10 and weights <= arrays(served / "variables" / "variables")


@pytest.mark.parametrize("domain", ["regression_2mode", "navigation_2d", "omniglot"])
def test_model_cards_are_as_the_tool_makes_them(domain, tmp_path):
    served = ROOT / "pretrained" / domain / "saved_model"
    copy = tmp_path / "saved_model"
    shutil.copytree(served, copy)
    run, evaluated = (of(domain, rows.SERVED[domain]) for of in (places.kept, places.results))
    text = model_card.write(run, evaluated, copy).read_text()
    assert (served / model_card.CARD).read_text() == text
    for words in ("## Limits", "MIT", "| output |", "± ", "at commit", "`meta_batch_size`"):
        assert words in text
    assert "{" not in text
