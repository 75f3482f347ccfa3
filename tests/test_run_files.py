"""The files of a run: what is wrong with one is said in a line, and nothing of it is lost."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from mmaml_tf.errors import RunError
from mmaml_tf.regression.config import RegressionConfig, paper_settings
from mmaml_tf.reporting.evaluation import (
    TaskResults,
    read_evaluation,
    summarise,
    write_evaluation,
)
from mmaml_tf.training import provenance
from mmaml_tf.training.metrics_file import MetricsFile
from mmaml_tf.training.run_files import read_json
from mmaml_tf.training.run_folder import RunFolder

CONFIG = RegressionConfig(**paper_settings("regression_2mode", "maml", ("sinusoid", "linear")))


def without(key):
    return {k: v for k, v in json.loads(CONFIG.to_json()).items() if k != key}


def config_with(**changes):
    return json.dumps(json.loads(CONFIG.to_json()) | changes)


def test_a_config_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(CONFIG.to_json())
    assert read_json(file, RegressionConfig) == CONFIG


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no JSON"]),
        (CONFIG.to_json()[:100], ["no JSON"]),
        ("[]", ["it is []", "object"]),
        ("null", ["it is None", "object"]),
        (json.dumps(without("inner_lr")), ["inner_lr is missing"]),
        (config_with(first_order="no"), ["first_order is 'no'", "valid boolean"]),
        (config_with(inner_lr="0.1"), ["inner_lr is '0.1'", "valid number"]),
        (config_with(method=[]), ["method is []", "valid string"]),
        (config_with(iterations=1.5), ["iterations is 1.5", "valid integer"]),
        (config_with(hidden_units=[8, "wide"]), ["hidden_units entry 2 is 'wide'"]),
        (config_with(hidden_units=8), ["hidden_units is 8"]),
        (config_with(modes=[]), ["--modes=: a mixture has one or more"]),
        (config_with(iterations=-3), ["--iterations=-3: must be 1 or more"]),
        (config_with(from_the_future=1), ["from_the_future is nothing that this version knows"]),
    ],
)
def test_a_config_that_is_none_says_what_is_wrong(tmp_path, text, words):
    folder = RunFolder(tmp_path)
    folder.config_file.write_text(text)
    with pytest.raises(RunError) as error:
        folder.config(RegressionConfig)
    message = str(error.value)
    assert "\n" not in message and message.startswith(str(folder.config_file))
    assert all(word in message for word in words), message


def test_bytes_that_are_no_text_are_said(tmp_path):
    file = tmp_path / "config.json"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match="config.json is no text"):
        read_json(file, dict)


ROWS = "step,mode,metric,mean,ci95,num_tasks\n0,all,mse,1.5,0.5,40\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no row of all tasks"),
        (ROWS.replace("all", "linear"), "has no row of all tasks"),
        (ROWS + "1,all,mse", "row 2 has not as many cells"),
        (ROWS.replace("1.5", "good"), "row 1 mean is 'good', but should be a valid number"),
        (ROWS.replace("mean", "median"), "row 1 mean is missing"),
        (ROWS.replace("40", "4.5"), "row 1 num_tasks is '4.5'"),
        (ROWS.replace("40", "-40"), "row 1 num_tasks is '-40', but .* greater than or equal to 1"),
        (ROWS.replace("0,all", f"{2**70},all"), "row 1 step is .* less than or equal to 1000"),
        (ROWS.replace("0,all", "-7,all"), "row 1 step is '-7'"),
        (ROWS.replace("ci95", "mean"), "several columns mean"),
        (ROWS + "1,all,accuracy,1.5,0.5,40\n", "has several metrics"),
        (ROWS + "2,all,mse,1.5,0.5,40\n", "not a row of every step and mode, in order"),
        (ROWS + "1,linear,mse,1.5,0.5,40\n", "not a row of every step and mode, in order"),
        (ROWS + ROWS.splitlines()[1], "two rows of the same step and mode"),
        (ROWS.replace("0.5", "-0.5"), "a ci95 below 0"),
    ],
)
def test_an_evaluation_that_is_none_says_what_is_wrong(tmp_path, text, words):
    file = tmp_path / "evaluation.csv"
    file.write_text(text)
    with pytest.raises(RunError, match=words):
        read_evaluation(file)
    file.write_text(ROWS)
    assert read_evaluation(file)["mean"].tolist() == [1.5]


def test_an_evaluation_that_diverged_is_read_again(tmp_path):
    results = TaskResults(np.array([[1.0, np.nan], [2.0, np.inf]]), np.zeros(2, int), None)
    write_evaluation(RunFolder(tmp_path), summarise(results, ["all"], "mse"), {})
    again = read_evaluation(tmp_path / "evaluation.csv")
    assert again["mean"][0] == 1.5 and np.isnan(again["mean"][1]) and np.isnan(again["ci95"][1])


def test_an_evaluation_is_of_what_is_said_beside_it(tmp_path, monkeypatch):
    """Neither one that was cut, nor one whose writing was interrupted, passes for another's."""
    folder = RunFolder(tmp_path)
    results = TaskResults(np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2, int), None)
    table = summarise(results, ["all"], "mse")
    origin = dict(iteration=30, config=json.loads(CONFIG.to_json()))
    write_evaluation(folder, table, origin)
    assert folder.evaluated_iteration() == 30 and folder.evaluated_config(CONFIG) == CONFIG
    whole = folder.evaluation_file.read_text()
    folder.evaluation_file.write_text("\n".join(whole.splitlines()[:2]) + "\n")
    read_evaluation(folder.evaluation_file)  # in itself it is one
    for reads in (folder.evaluated_iteration, lambda: folder.evaluated_config(CONFIG)):
        with pytest.raises(RunError, match="evaluation.csv is not the evaluation that"):
            reads()
    folder.evaluation_file.write_text(whole)
    calls = {"write_text": OSError(errno.ENOSPC, ""), "replace": KeyboardInterrupt()}
    for name, error in calls.items():
        with monkeypatch.context() as second:
            made, call = [], getattr(Path, name)

            def fails(*arguments, made=made, call=call, error=error, **options):
                if made:
                    raise error
                made.append(call(*arguments, **options))

            second.setattr(Path, name, fails)
            with pytest.raises((RunError, KeyboardInterrupt)):
                write_evaluation(folder, table.assign(mean=9.0), origin | dict(iteration=40))
        if name == "write_text":  # the disk is full: what was there is there
            assert folder.evaluated_iteration() == 30
            assert folder.evaluation_file.read_text() == whole
    with pytest.raises(RunError, match="evaluation.csv is not the evaluation that"):
        folder.evaluated_iteration()


@pytest.mark.parametrize("iteration", [-5, 2**70, "5"])
def test_an_iteration_that_is_none_is_an_error(tmp_path, iteration):
    folder = RunFolder(tmp_path)
    folder.evaluation_origin_file.write_text(json.dumps(dict(iteration=iteration, config={})))
    with pytest.raises(RunError, match="evaluation.json: iteration is"):
        folder.evaluated_iteration()


START = dict(command="x", commit=None, started="now", cores=1, devices=[], python="3", versions={})
START |= dict(iterations=10, seconds=1.5)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(seconds=float("nan")),
        dict(seconds=-1.0),
        dict(cores=-1),
        dict(iterations=2**70),
        dict(workers=-2),
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_provenance_with_numbers_out_of_range_is_an_error(tmp_path, wrong):
    file = tmp_path / "provenance.json"
    file.write_text(json.dumps([START]))
    assert provenance.held(file) == [START]
    file.write_text(json.dumps([START | wrong]))
    with pytest.raises(RunError, match=f"entry 1 {next(iter(wrong))} is"):
        provenance.held(file)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"command": "python"}]', "[{"])
def test_provenance_that_is_none_is_an_error(tmp_path, text):
    file = tmp_path / "provenance.json"
    file.write_text(text)
    with pytest.raises(RunError, match="provenance.json"):
        provenance.held(file)


WHOLE = "iteration,loss\n10,1.0\n20,0.5\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (WHOLE, "iteration,loss\n10,1.0\n20,0.5\n"),
        (WHOLE[:-1], "iteration,loss\n10,1.0\n20,0.5\n"),  # without the last newline
        (WHOLE + "30,0.2\n", "iteration,loss\n10,1.0\n20,0.5\n"),  # made again
        (WHOLE + "30", "iteration,loss\n10,1.0\n20,0.5\n"),  # cut in mid-write
        (WHOLE + "20,0.\x00", "iteration,loss\n10,1.0\n20,0.5\n"),
        ("\ufeff" + WHOLE, "iteration,loss\n10,1.0\n20,0.5\n"),  # as an editor saves it
        ("iteration,loss\n", "iteration,loss\n"),
        ("", ""),
    ],
)
def test_rows_added_to_metrics_are_whole(tmp_path, text, kept):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.path.write_text(text)
    metrics.truncate(20)
    assert metrics.path.read_text() == kept
    metrics.append({"iteration": 30, "loss": 0.25})
    assert metrics.path.read_text() == (kept or "iteration,loss\n") + "30,0.25\n"
    assert metrics.column("loss")[-1] == 0.25


def test_metrics_that_are_none_are_set_aside(tmp_path, caplog):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    contents = (
        b"my,own,notes\n1,2,3\n",
        b"\xff\xfe",
        b"iteration,lo",  # what is not in the header would never be logged again
        b"iteration,loss,loss\n10,1.0,2.0\n",
        b"iteration,loss\n10," + b"1" * 200_000 + b"\n",  # more than a cell of Python's csv holds
    )
    for number, content in enumerate(contents, 1):
        metrics.path.write_bytes(content)
        metrics.truncate(20)
        assert not metrics.exists()
        assert (tmp_path / f"unreadable-{number}-metrics.csv").read_bytes() == content
        assert f"it is kept as unreadable-{number}-metrics.csv" in caplog.text


@pytest.mark.parametrize("row", ["20", "20,low", "many,0.5", "20,0.5,7", "-20,0.5", "²,0.5"])
@pytest.mark.parametrize("ending", ["\n", "\n30,0.2\n"])
def test_metrics_with_a_row_that_is_none_are_kept_beside(tmp_path, caplog, row, ending):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    damaged = f"iteration,loss\n10,1.0\n{row}{ending}"
    metrics.path.write_text(damaged)
    metrics.truncate(30)
    assert metrics.path.read_text() == "iteration,loss\n10,1.0" + ending
    assert (tmp_path / "unreadable-1-metrics.csv").read_text() == damaged
    assert "metrics.csv has rows that are none" in caplog.text


def test_metrics_with_words_for_numbers_are_an_error(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.path.write_text(WHOLE.replace("0.5", "low"))
    for read in (metrics.table, lambda: metrics.column("loss")):
        with pytest.raises(RunError, match="row 2 loss is 'low', but should be a valid number"):
            read()
    metrics.path.write_text("iteration,cost\n1,2\n")
    with pytest.raises(RunError, match="metrics.csv has 0 columns loss, not 1"):
        metrics.table()
    for text in ("{", "[]", "iteration"):
        metrics.path.write_text(text)
        with pytest.raises(RunError, match="metrics.csv has 0 columns .*, not 1"):
            metrics.table()
    for cell in ("", "nan", "inf", "1.5", "-10", str(2**70)):
        metrics.path.write_text(WHOLE.replace("20", cell))
        for read in (metrics.table, lambda: metrics.column("loss")):
            with pytest.raises(RunError, match=f"row 2 iteration is '{cell}', but should be"):
                read()
    metrics.path.write_text("iteration,loss,loss\n10,1.0,2.0\n")
    for read in (metrics.table, lambda: metrics.column("loss")):
        with pytest.raises(RunError, match="has 2 columns loss, not 1"):
            read()


def test_a_row_is_added_after_a_last_line_without_its_end(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.path.write_text(WHOLE.removesuffix("\n"))  # as an editor saved it
    metrics.append(dict(iteration=30, loss=0.2))
    assert metrics.column("loss") == [1.0, 0.5, 0.2]


def test_metrics_of_a_run_that_lost_them_are_none(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    for text in (None, "", "iteration,loss\n"):
        if text is not None:
            metrics.path.write_text(text)
        assert metrics.table().empty and metrics.column("loss") == []
        assert {"iteration", "loss"} <= set(metrics.table())
