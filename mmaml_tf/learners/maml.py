"""Model-agnostic meta-learning. [MAML]"""

from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.methods import register


@register("maml", "regression", "classification")
class MAML(MetaLearner):
    """One prior theta for all tasks, no modulation: what `MetaLearner` does by itself."""
