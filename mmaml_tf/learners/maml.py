"""Model-agnostic meta-learning. [MAML]"""

from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.methods import register


@register("maml", "regression", "classification")
class MAML(GradientBased):
    """One prior theta for all tasks, no modulation: what `GradientBased` does by itself."""
