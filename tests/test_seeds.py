"""Several trainings of one method: intervals over seeds, grouping, differences, the report."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmaml_tf.reporting import figures
from mmaml_tf.reporting.domain import ReportedRun
from mmaml_tf.reporting.report import report
from mmaml_tf.reporting.seeds import difference, grouped, half_width, over_seeds
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import tiny_domain
from tools import places, tables


def evaluation(*means, ci95=0.5, num_tasks=40):
    """An evaluation.csv of all tasks, by step."""
    return pd.DataFrame(
        [
            dict(step=step, mode=mode, metric="mse", mean=mean, ci95=ci95, num_tasks=num_tasks)
            for step, mean in enumerate(means)
            for mode in ("all", "sinusoid", "linear")
        ]
    )


@pytest.fixture
def made(tmp_path):
    """Makes a run that was evaluated."""

    def make(seed, *means, method="maml", label="", name="", **settings):
        domain = tiny_domain(method, seed=seed, **settings)
        folder = RunFolder(tmp_path / (name or f"{method}-seed{seed}"))
        folder.path.mkdir()
        folder.keep(domain.config)
        evaluation(*means).to_csv(folder.evaluation_file, index=False)
        losses = pd.DataFrame({"iteration": [10, 20, 30], "loss": [3.0 + seed, 2.0, 1.0]})
        losses.to_csv(folder.metrics.path, index=False)
        return ReportedRun(domain, folder, label=label)

    return make


def test_the_interval_is_students_t():
    # By hand: s = 1, t_{0.975, 2} = 4.30265, 4.30265 / sqrt(3) = 2.48414.
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(2.48414, abs=1e-5)
    # Of two, t is 12.7062 and s / sqrt(2) half their distance.
    assert half_width([1.0, 3.0]) == pytest.approx(12.7062, abs=1e-4)
    assert np.isnan(half_width([1.0]))
    np.testing.assert_allclose(
        half_width([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]], 1), [2.48414, 4.96828], atol=1e-5
    )


def test_over_seeds_keeps_the_interval_over_tasks_apart():
    table = over_seeds([evaluation(5.0, mean, ci95=ci) for mean, ci in ((1.0, 0.2), (3.0, 0.4))])
    assert list(table["step"]) == [0, 0, 0, 1, 1, 1]
    row = table[(table["step"] == 1) & (table["mode"] == "all")].iloc[0]
    assert row["mean"] == 2.0 and row["ci95"] == pytest.approx(12.7062, abs=1e-4)
    assert row["ci95_tasks"] == pytest.approx(0.3)
    assert row["num_seeds"] == 2 and row["num_tasks"] == 40


def test_differences_are_paired_by_seed():
    ours, theirs = pd.Series({0: 1.0, 1: 2.0, 2: 4.0, 5: 9.0}), pd.Series({0: 2, 1: 4, 2: 5})
    mean, ci95, num_seeds = difference(ours, theirs)
    tested = stats.ttest_rel(ours.iloc[:3], theirs).confidence_interval()
    assert num_seeds == 3
    assert (mean - ci95, mean + ci95) == pytest.approx((tested.low, tested.high))


def test_only_runs_that_differ_in_nothing_but_the_seed_are_grouped(made):
    runs = [made(seed, 1.0, label="maml") for seed in (0, 1)]
    runs.append(made(2, 1.0, label="maml", inner_lr=0.5))
    for run in runs:
        run.group, run.label = run.label, f"{run.label} seed={run.domain.config.seed}"
    assert [len(group.runs) for group in grouped(runs[:2])] == [2]
    assert [group.label for group in grouped(runs[:2])] == ["maml"]
    # One of other settings makes "maml" say too little.
    assert [group.label for group in grouped(runs)] == [f"maml seed={seed}" for seed in range(3)]
    copy = made(1, 1.0, label="maml", name="copy")
    copy.group = "maml"
    assert [len(group.runs) for group in grouped([*runs[:2], copy])] == [1, 1, 1]


def test_an_unfinished_training_is_no_other_seed_of_a_finished_one(made):
    short, other = (made(seed, 1.0, 2.0, label="maml") for seed in (1, 2))
    short.metrics = short.metrics[:2]
    other.evaluation = other.evaluation[:3]
    runs = [made(0, 1.0, 2.0, label="maml"), short, other]
    for run in runs:
        run.group, run.label = run.label, f"{run.label} seed={run.domain.config.seed}"
    for pair in (runs[:2], runs[::2]):
        assert [len(group.runs) for group in grouped(pair)] == [1, 1]


def test_what_is_known_of_an_evaluation_at_the_start_is_said(made):
    run = made(0, 1.0)
    origin = dict(config=json.loads(run.folder.config_file.read_text()), iteration=0)
    run.folder.evaluation_origin_file.write_text(json.dumps(origin))
    saved = run.folder.checkpoints / "ckpt-30.index"
    saved.parent.mkdir()
    saved.write_bytes(b"")
    assert ReportedRun(run.domain, run.folder).evaluated_at == 0


def test_report_over_seeds(made, tmp_path):
    runs = [made(seed, 9.0, 1.0 + seed) for seed in (0, 1, 2)]
    runs += [made(seed, 8.0, 0.5 + seed, method="anil") for seed in (0, 1)]
    runs.append(made(0, 7.0, method="oracle"))
    report(runs, tmp_path / "report")
    text = (tmp_path / "report" / "table.md").read_text()
    assert "| maml seed=2 | 9.0000 ± 0.5000 | 3.0000 ± 0.5000 |" in text
    assert "| maml | 9.0000 ± 0.0000 (tasks ± 0.5000) | 2.0000 ± 2.4841 (tasks ± 0.5000) |" in text
    assert text.count("| 3 | 40 |") == 1
    # Both seeds differ by as much.
    assert "| maml | | +0.5000 ± 0.0000 (2) |" in text
    assert "| oracle | 7.0000 ± 0.5000 |" in text and "oracle seed" not in text
    rows = pd.read_csv(tmp_path / "report" / "evaluation.csv")
    assert set(rows["run"]) >= {"maml seed=0", "anil seed=1", "oracle"}


def test_curves_have_bands_over_seeds():
    trainings = [
        pd.DataFrame({"iteration": [1, 2, 3], "loss": [3.0, 2.0, 1.0 + seed]}) for seed in (0, 1)
    ]
    runs = {"a": trainings, "b": trainings[:1]}
    drawn = figures.training_curves("training", runs, "loss", "loss")["training"]
    (band,) = drawn.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(1.5 + 12.7062 / 2, abs=1e-4)
    np.testing.assert_allclose(drawn.axes[0].lines[0].get_ydata(), [3.0, 2.0, 1.5])
    seeds = over_seeds([evaluation(3.0, 1.0), evaluation(3.0, 2.0)])
    drawn = figures.adaptation_curves({"a": seeds, "b": evaluation(3.0, 1.0)}, "mse")
    bands = [part for part in drawn.axes[0].collections if "Fill" in type(part).__name__]
    assert len(bands) == 1


def test_a_table_cell_says_how_many_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path)
    for name, means in {
        "maml-seed0": (9.0, 1.0),
        "maml-seed2": (9.0, 3.0),
        "maml-x-seed1": (5.0,),
    }.items():
        folder = tmp_path / "results" / "domain" / name
        folder.mkdir(parents=True)
        evaluation(*means).to_csv(folder / "evaluation.csv", index=False)
    several = tables.measured("domain", "maml", 2)
    assert several.cell(0, -1) == (
        "[9.00 ± 0.00 / 2.00 ± 12.71](results/domain/table.md) (2 seeds; tasks ± 0.50 / 0.50)"
    )
    single = tables.measured("domain", "maml-x", 2)
    assert single.cell(0, -1) == "[5.00 ± 0.50](results/domain/maml-x-seed1)"
    assert tables.measured("domain", "anil", 2) is None
