"""The runs behind the rows of `tools.rows`: where they are, what they still need, for how long."""

import dataclasses
import enum
import heapq
from collections.abc import Iterable, Sequence

import registry
from flags.common import FLAGS
from mmaml_tf.config import RunConfig
from mmaml_tf.training import provenance
from mmaml_tf.training.run_folder import RunFolder, saved_iterations
from tools import places
from tools.row import Flags, Training, joined

PAPER = "paper"
# That are looked for.
MAX_SEEDS = 20


@dataclasses.dataclass(frozen=True)
class Run:
    """A training by one seed, or a further evaluation of its weights.

    Attributes:
      training: what is trained.
      seed: by which.
      evaluation: which of the training's further evaluations; empty for the training itself.
      preset: of the command. Of another than the papers' nothing is kept.
    """

    training: Training
    seed: int
    evaluation: str = ""
    preset: str = PAPER

    @property
    def name(self) -> str:
        """Of its folder in results/<domain>/ and pretrained/<domain>/."""
        label = joined(self.training.label, self.evaluation)
        return f"{label}-seed{self.seed}"

    @property
    def path(self) -> str:
        """Of its run folder, from the repository's root."""
        if self.preset != PAPER:
            return f"runs/{self.preset}/{self.training.domain}/{self.name}"
        variant = joined(self.training.variant, self.evaluation)
        folder = f"{variant}_seed{self.seed}" if variant else f"seed{self.seed}"
        return f"runs/{self.training.domain}/{self.training.plain}/{folder}"

    @property
    def folder(self) -> RunFolder:
        """Where it is trained."""
        return RunFolder(places.ROOT / self.path)

    @property
    def kept(self) -> RunFolder:
        """Where it is packed."""
        return places.kept(self.training.domain, self.name)

    @property
    def results(self) -> RunFolder:
        """Where its evaluation is kept."""
        return places.results(self.training.domain, self.name)

    @property
    def flags(self) -> Flags:
        """Of its command."""
        flags = [*self.training.flags, *self.training.evaluations.get(self.evaluation, ())]
        if self.preset != PAPER:
            # Are the preset's.
            own = ("--iterations", "--log_every", "--checkpoint_every", "--eval_tasks")
            flags = [flag for flag in flags if not flag.startswith(own)]
            flags.append(f"--preset={self.preset}")
        flags.append(f"--seed={self.seed}")
        is_elsewhere = self.training.variant or self.evaluation or self.preset != PAPER
        return (*flags, f"--output_dir={self.path}") if is_elsewhere else tuple(flags)

    def config(self) -> RunConfig:
        """As its command makes it."""
        for name in FLAGS:
            FLAGS[name].unparse()
        FLAGS(["reproduce", *self.flags])
        registration = registry.find(FLAGS.domain)
        return registration.config(FLAGS.domain, FLAGS.method, FLAGS.preset)


class State(enum.StrEnum):
    """What there is of a run."""

    KEPT = "kept"  # its evaluation is in results/
    TRAINED = "trained"  # and evaluated, but not kept yet
    CUT = "cut"  # its command goes on
    MISSING = "missing"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run needs.

    Attributes:
      run: which.
      state: what there is of it.
      done: iterations that it has.
      iterations: that it is to have.
      note: what else to know, such as that a kept run has other settings; or empty.
    """

    run: Run
    state: State
    done: int
    iterations: int
    note: str = ""

    @property
    def needs_command(self) -> bool:
        """Whether its command has something to do."""
        return self.state in (State.CUT, State.MISSING)

    def seconds(self, on_gpu: bool = False) -> float | None:
        """That its iterations take, by earlier runs like it; None where there are none."""
        if not self.needs_command or self.run.evaluation:
            return 0.0
        seconds = pace(histories(self.run), on_gpu)
        return None if seconds is None else seconds * (self.iterations - self.done)


def planned(run: Run, again: bool = False, unkept: bool = False) -> Plan:
    """Looks at what there is of a run.

    Args:
      run: which.
      again: a kept run that is too short, or of other settings than its row says, does not count.
      unkept: nor does any other, as what follows needs the run folder.

    Raises:
      RunError: if a file of it can't be read.
    """
    config = run.config()
    if run.preset == PAPER and not unkept and run.kept.is_run() and _is_evaluated(run.results):
        done, note = _compared(run, config)
        if not (again and note):
            return Plan(run, State.KEPT, done, config.iterations, note)
    folder = run.folder
    if not folder.is_run():
        return Plan(run, State.MISSING, 0, config.iterations)
    done = max(saved_iterations(folder.checkpoints), default=0)
    # A run of other settings its command refuses.
    is_its = not folder.config(type(config)).differences(config, trained=done)
    is_whole = is_its and done >= config.iterations and _is_evaluated(folder)
    return Plan(run, State.TRAINED if is_whole else State.CUT, done, config.iterations)


def _is_evaluated(folder: RunFolder) -> bool:
    return folder.evaluation_file.exists()


def _compared(run: Run, wanted: RunConfig) -> tuple[int, str]:
    """The iterations of a kept run, and in what it is not what its row says."""
    held = run.kept.config(type(wanted))
    done = run.kept.metrics.last_iteration()
    notes = held.differences(wanted, (*held.RESUMABLE, *held.EVALUATION, "iterations"))
    if done < wanted.iterations:
        notes.append(f"{done:,} of {wanted.iterations:,} iterations")
    return done, "; ".join(notes)


def histories(run: Run) -> list[list[provenance.Start]]:
    """What is known of the time that a run takes: its own starts, other seeds', kept runs'."""
    own = dataclasses.replace(run, evaluation="")
    runs = [own, *(dataclasses.replace(own, seed=seed) for seed in range(MAX_SEEDS))]
    folders = [run.folder for run in runs] + [run.kept for run in runs]
    return [provenance.held(folder.provenance_file) for folder in folders]


def pace(known: Iterable[Sequence[provenance.Start]], on_gpu: bool = False) -> float | None:
    """Seconds per iteration, by the first of the histories that has starts on such a device."""
    for history in known:
        seconds, iterations, before = 0.0, 0, 0
        for entry in history:
            if (entry["cores"] is None) == on_gpu:
                seconds += entry["seconds"]
                iterations += max(entry["iterations"] - before, 0)
            before = entry["iterations"]
        if iterations:
            return seconds / iterations
    return None


def wall_time(seconds: Iterable[float], num_slots: int) -> float:
    """Of jobs that are started in order, as slots get free."""
    free = [0.0] * num_slots
    for duration in seconds:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)
