"""Small learners and task batches that the tests share."""

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.adaptation import InnerLoop
from mmaml_tf.encoders import BiLSTMEncoder, ModulationNetwork
from mmaml_tf.layers.modulation import MODULATIONS
from mmaml_tf.meta_learners import MAML, MultiMAML, MuMoMAML, mean_squared_error
from mmaml_tf.networks.models import mlp
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import Examples, TaskBatch

# (method, modulation): all that a supervised domain can be asked for.
CASES = [
    ("maml", None),
    ("multi_maml", None),
    ("mumomaml", "film"),
    ("mumomaml", "sigmoid"),
    ("mumomaml", "softmax"),
]
HIDDEN = (7, 6)
NUM_TASKS, NUM_SHOTS, NUM_QUERIES = 4, 3, 5


def make_batch(seed=0, num_tasks=NUM_TASKS, num_shots=NUM_SHOTS, num_queries=NUM_QUERIES):
    """Tasks with generic (non-zero, unequal) numbers, in Keras's current float type."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return tf.constant(rng.normal(size=shape), keras.config.floatx())

    return TaskBatch(
        Examples(draw(num_tasks, num_shots, 1), draw(num_tasks, num_shots, 1)),
        Examples(draw(num_tasks, num_queries, 1), draw(num_tasks, num_queries, 1)),
        tf.constant([0, 0, 1, 1][:num_tasks]),
    )


def make_learner(
    method="maml",
    modulation=None,
    factored=True,
    seed=3,
    bias_transformation_size=2,
    encoder=BiLSTMEncoder,
    **loop,
):
    """A learner with weights large enough that five steps change its predictions."""
    keras.utils.set_random_seed(seed)
    inner_loop = InnerLoop(**{"num_steps": 5, "learning_rate": 0.1, **loop})
    layer = MODULATIONS[modulation]() if modulation else None
    model = mlp(
        1,
        HIDDEN,
        1,
        kernel_initializer="he_normal",
        bias_transformation_size=bias_transformation_size if method != "mumomaml" else 0,
    )
    network = TaskNetwork(
        model,
        layer,
        # One row seen makes factoring the cheaper form of the layers between; none, of no layer.
        rows_seen=1 if factored else None,
        num_groups=2 if method == "multi_maml" else 1,
    )
    if method == "mumomaml":
        learner = MuMoMAML(
            network,
            inner_loop,
            mean_squared_error,
            encoder=encoder(4),
            modulation_network=ModulationNetwork(layer, network.site_units),
        )
    else:
        learner = {"maml": MAML, "multi_maml": MultiMAML}[method](
            network, inner_loop, mean_squared_error
        )
    learner.build_for(x_dim=1, y_dim=1)
    rng = np.random.default_rng(seed)
    for variable in learner.trainable_variables:  # no zero biases: they would hide mistakes
        variable.assign_add(0.1 * rng.normal(size=variable.shape))
    return learner


def meta_gradient(learner, batch):
    """The mean query loss and its gradient in every trainable variable."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(learner.meta_loss(batch)[0])
    return loss, tape.gradient(loss, learner.trainable_variables)
