"""The rows of the tables of returns: see `tools.rows`."""

from collections.abc import Mapping
from dataclasses import replace

from tools.row import Place, Row, Table

RETURNS = (
    Row("MuMoMAML, FiLM", "mumomaml", "film"),
    Row("MAML", "maml"),
    Row("modulation alone", "modulation", "film"),
    Row("Meta-SGD", "meta_sgd"),
    Row("context vector", "context"),
    Row("RL²", "rl2"),
    Row("pretrained on all tasks", "pretrained"),
    Row("random weights", "random"),
    Row("oracle", "oracle"),
)
# [MuMoMAML] Figure 3a, read from the drawing, by the step.
NAVIGATION_PAPERS = {
    "mumomaml-film": ("-77.6", "-18.1", "-6.6", "-4.2", "-3.5", "-3.2", "-3.2"),
    "maml": ("", "-71.8", "-17.7", "-8.6", "-6.5", "-6.5", "-6.0"),
}
# Raw returns of the authors' released runs.
UNIT_SQUARE_PAPERS = {
    "maml": ("", "-40.4", "-11.7", "-3.3", "-3.2", "-3.4"),
    "context": ("", "-42.4", "-13.9", "-5.2", "-3.2"),
    "pretrained": ("", "-40.8", "-19.7", "-11.7", "-8.5", "-7.5"),
    "random": ("", "-82.7", "-58.0", "-53.8", "-46.8", "-42.9"),
    "oracle": ("", "-2.3"),
}
CHEETAH_VELOCITY_PAPERS = {
    "maml": ("", "-129.5", "-78.6", "-66.6", "-60.8"),
    "pretrained": ("", "-158.0", "-135.4", "-128.5", "-133.6"),
    "random": ("", "-254.8", "-254.3", "-246.8", "-230.8"),
    "oracle": ("", "-54.5"),
}
CHEETAH_DIRECTION_PAPERS = {
    "maml": ("", "-50.7", "293.2", "313.5", "315.7"),
    "context": ("", "-40.5", "-44.1", "-38.3", "-42.5"),
    "pretrained": ("", "-43.0", "-24.8", "-12.9", "19.6"),
    "random": ("", "-35.7", "21.8", "62.3", "86.2"),
    "oracle": ("", "442.7"),
}
ANT_VELOCITY_PAPERS = {
    "maml": ("", "30.6", "96.7", "100.1", "101.4"),
    "pretrained": ("", "-1.8", "6.1", "8.5", "9.5"),
    "random": ("", "-78.6", "-62.8", "-48.6", "-35.6"),
    "oracle": ("", "107.9"),
}
ANT_DIRECTION_PAPERS = {
    "maml": ("", "8.7", "499.2", "500.7", "499.1"),
    "pretrained": ("", "3.2", "1.3", "6.5", "6.9"),
    "random": ("", "3.1", "9.3", "16.0", "26.1"),
    "oracle": ("", "524.8"),
}


def _beside(figures: Mapping[str, tuple[str, ...]]) -> tuple[Row, ...]:
    """The rows, with a paper's mean returns before modulation, after it and after each update."""
    steps = [str(step) for step in range(-1, 6)]
    return tuple(
        replace(row, papers=dict(zip(steps, figures.get(row.key, ()), strict=False)))
        for row in RETURNS
    )


SLOW = ("--inner_lr=0.1",)
NAVIGATION = Table(
    (Place("navigation_2d", flags=("--eval_tasks=400",)),),
    (
        *_beside(NAVIGATION_PAPERS),
        Row("MuMoMAML, `--inner_lr=0.1`", "mumomaml", "film", "slow", flags=SLOW),
        Row("MAML, `--inner_lr=0.1`", "maml", variant="slow", flags=SLOW),
    ),
)
NAVIGATION_WIDE = Table((Place("navigation_2d_wide", flags=("--eval_tasks=400",)),), RETURNS)
MAML_NAVIGATION = Table(
    (Place("maml_navigation"),),
    (
        *_beside(UNIT_SQUARE_PAPERS),
        Row("MAML", "maml", variant="long", flags=("--iterations=500",)),
    ),
)
MAML_CHEETAH_VELOCITY = Table((Place("maml_cheetah_velocity"),), _beside(CHEETAH_VELOCITY_PAPERS))
MAML_CHEETAH_DIRECTION = Table(
    (Place("maml_cheetah_direction"),), _beside(CHEETAH_DIRECTION_PAPERS)
)
MAML_ANT_VELOCITY = Table((Place("maml_ant_velocity"),), _beside(ANT_VELOCITY_PAPERS))
MAML_ANT_DIRECTION = Table((Place("maml_ant_direction"),), _beside(ANT_DIRECTION_PAPERS))
CHEETAH_LOCATION = Table((Place("cheetah_location"),), RETURNS)
CHEETAH_SPEED = Table((Place("cheetah_speed"),), RETURNS)

TABLES = {
    "navigation": NAVIGATION,
    "navigation_wide": NAVIGATION_WIDE,
    "maml_navigation": MAML_NAVIGATION,
    "maml_cheetah_velocity": MAML_CHEETAH_VELOCITY,
    "maml_cheetah_direction": MAML_CHEETAH_DIRECTION,
    "maml_ant_velocity": MAML_ANT_VELOCITY,
    "maml_ant_direction": MAML_ANT_DIRECTION,
    "cheetah_location": CHEETAH_LOCATION,
    "cheetah_speed": CHEETAH_SPEED,
}
