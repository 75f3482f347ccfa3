"""The model card that tools.pack writes beside a SavedModel."""

import pytest

from flags.common import FLAGS
from mmaml_tf.errors import RunError
from mmaml_tf.training import provenance
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import command, tiny_flags
from tools import model_card, pack, regenerate


def test_a_packed_model_has_a_card(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in (pack, regenerate, model_card):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    assert command("--domain=regression_2mode", *tiny_flags(), "--output_dir=run") == 0
    for name in FLAGS:
        FLAGS[name].unparse()
    FLAGS(["pack.py"])
    packed = RunFolder(pack.pack(RunFolder("run")))
    with pytest.raises(RunError, match="has no evaluation"):
        pack.serve(packed)
    regenerate.regenerate("regression_2mode", measure=False)
    card = pack.serve(packed)
    assert card == tmp_path / "pretrained/regression_2mode/saved_model/README.md"
    text = card.read_text()
    assert text.startswith("# regression_2mode: mumomaml-film-seed0\n")
    assert "modes: sinusoid, linear." in text and "standard deviation 0.3." in text
    assert "| input | `support_x` | [?, ?, 1] | float32 |" in text
    assert "| output | `task_embedding` | [?, 6] | float32 |" in text
    assert "on 40 tasks" in text and text.count(" ± ") == 10  # of 3 x 3 numbers, and in words
    assert f"at commit {provenance.commit() or '?'}, to iteration 30" in text
    assert "* weights of iteration 30\n" in text
    assert "| `inner_lr` | 0.01 |" in text and "context_size" not in text
    assert "MIT" in text
