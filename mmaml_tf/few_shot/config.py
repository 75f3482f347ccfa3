"""What the supervised domains' configs share."""

import dataclasses

from mmaml_tf.config import RunConfig
from mmaml_tf.learners.options import DECAYS, HEAD_INITIALIZERS, INNER_OPTIMIZERS

# The same in all supervised domains.
DEFAULTS = dict(
    modulation="film",
    seed=0,
    meta_lr=0.001,
    lr_schedule="constant",
    first_order=False,
    inner_clip_norm=None,
    inner_clip_value=None,
    jit_compile=None,
    eval_seed=1,
    # of single methods
    learned_rates=False,
    multi_step_iterations=5_000,
    first_order_iterations=0,
    rates_per_step=True,
    norm_per_step=True,
    inner_optimizer="adam",
    inner_batch_size=10,
    network_steps=5_000,
    network_lr=0.003,
    weight_decay=None,
    decay_to="zero",
    width=64,
    depth=4,
    heads=4,
    cosine_scale=10.0,
)
LR_SCHEDULES = ("constant", "cosine", "linear")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FewShotConfig(RunConfig):
    """Settings of the supervised domains.

    Attributes:
      meta_lr: learning rate of the meta-optimiser.
      lr_schedule: of meta_lr over the run; "cosine" and "linear" take it to zero.
      meta_clip_norm: limit of the meta-gradient norm of theta and omega; None for none.
      meta_clip_value: limit of each of its elements; None for none.
      jit_compile: compile the meta-step with XLA; None where the device asks for it.
      num_shots: K, support points per task (images per class in classification).
      num_queries: query points of a training task, likewise.
      eval_queries: query points of an evaluation (or validation) task.
      eval_shots: K of evaluation tasks; None for as many as in training.
      eval_steps: gradient steps at evaluation; None for as many as in training, or for methods
        without.
      head_initializer: of the modulator's heads, by name.
      multi_step_iterations, first_order_iterations, rates_per_step, norm_per_step: MAML++'s
        measures (`learners.maml_plus_plus`).
      inner_optimizer: of Reptile's inner steps, by name.
      inner_batch_size: points (images) of each of its steps.
      eval_batch_size: of each of its steps at evaluation; None for as many.
      network_steps, network_lr, weight_decay, decay_to: of the networks whose average is taken
        (`learners.parameter_average`).
      width, depth, heads: of a transformer: of its tokens, how many blocks, of each attention.
      cosine_scale: where the factor on matching networks' cosines starts; None for none.
      context_size: numbers (or channels of an image) that a context vector appends to an input.
    """

    meta_lr: float
    lr_schedule: str
    meta_clip_norm: float | None
    jit_compile: bool | None
    num_shots: int
    num_queries: int
    eval_queries: int
    meta_clip_value: float | None = None
    eval_shots: int | None = None
    eval_steps: int | None = None
    context_size: int | None = None
    head_initializer: str | None = None
    multi_step_iterations: int | None = None
    first_order_iterations: int | None = None
    rates_per_step: bool | None = None
    norm_per_step: bool | None = None
    inner_optimizer: str | None = None
    inner_batch_size: int | None = None
    eval_batch_size: int | None = None
    network_steps: int | None = None
    network_lr: float | None = None
    weight_decay: float | None = None
    decay_to: str | None = None
    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    cosine_scale: float | None = None

    TRAINING = (
        *RunConfig.TRAINING,
        "meta_lr",
        "lr_schedule",
        "meta_clip_norm",
        "meta_clip_value",
        "num_queries",
    )
    GROUPS = {
        "inner_loop": ("inner_steps", "inner_lr"),
        "meta_gradient": ("first_order",),
        "learned_rates": ("learned_rates",),
        "context": ("context_size",),
        "measures": (
            "multi_step_iterations",
            "first_order_iterations",
            "rates_per_step",
            "norm_per_step",
        ),
        "mini_batches": ("inner_optimizer", "inner_batch_size"),
        "own_training": ("network_steps", "network_lr", "decay_to"),
        "transformer": ("width", "depth", "heads"),
        "cosines": (),
    }
    OPTIONAL = {
        "inner_loop": ("inner_clip_norm", "inner_clip_value", "eval_steps"),
        "mini_batches": ("eval_batch_size",),
        "own_training": ("weight_decay",),
        "cosines": ("cosine_scale",),
    }
    ADDED = {"head_initializer": "glorot_uniform"}
    RESUMABLE = (*RunConfig.RESUMABLE, "jit_compile")
    EVALUATION = (
        *RunConfig.EVALUATION,
        "jit_compile",
        "eval_queries",
        "eval_shots",
        "eval_steps",
    )

    @property
    def mode_names(self) -> tuple[str, ...]:
        """Kinds of tasks, of which every batch has equally many, in this order."""
        return ("all",)

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_lr")
        self.require_limits("meta_clip_norm", "meta_clip_value", "cosine_scale", "weight_decay")
        self.require_one_of("lr_schedule", LR_SCHEDULES)
        for field in ("num_shots", "num_queries", "eval_queries"):
            self.require_at_least(field, 1)
        if self.head_initializer is not None:
            self.require_one_of("head_initializer", HEAD_INITIALIZERS)
        if self.inner_optimizer is not None:
            self.require_one_of("inner_optimizer", INNER_OPTIMIZERS)
        if self.decay_to is not None:
            self.require_one_of("decay_to", DECAYS)
        if self.network_lr is not None:
            self.require_positive("network_lr")
        for field in ("multi_step_iterations", "first_order_iterations"):
            if getattr(self, field) is not None:
                self.require_at_least(field, 0)
        batches = ("inner_batch_size", "eval_batch_size")
        for field in ("context_size", "eval_shots", *batches, "network_steps", "width", "heads"):
            if getattr(self, field) is not None:
                self.require_at_least(field, 1)
        if self.eval_steps is not None:
            self.require_steps("eval_steps", 0)
        if self.depth is not None:
            self.require_steps("depth", 1)
        if self.width is not None and self.heads is not None:
            self.require("heads", self.width % self.heads == 0, f"must divide --width={self.width}")

    def largest_arrays(self) -> dict[tuple[str, ...], int]:
        """A transformer's kernels: of a block, four width by width and two by twice the width."""
        width, depth = self.width or 0, self.depth or 0
        return {("width", "depth"): 8 * depth * width**2}

    @property
    def shots_at_evaluation(self) -> int:
        """K of evaluation tasks."""
        return self.num_shots if self.eval_shots is None else self.eval_shots

    @property
    def has_fixed_length(self) -> bool:
        """A learning rate schedule is laid out over the run."""
        return self.lr_schedule != "constant"
