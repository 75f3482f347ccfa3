"""What defines the methods that answer without gradient steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import mmaml_tf as mm
from mmaml_tf.classification.figures import episodes
from mmaml_tf.config import ConfigError
from mmaml_tf.learners.in_context import Block
from mmaml_tf.networks.models import conv_net, mlp
from mmaml_tf.training.storage import within_memory
from tests import omniglot_fixture
from tests.learners import check_along_a_direction, generic, make_batch, meta_gradient
from tests.runs import tiny_domain

SAME = dict(rtol=1e-10, atol=1e-12)
WAYS, SIZE = omniglot_fixture.WAYS, omniglot_fixture.SIZE


def classifier(kind, **settings):
    model = conv_net((SIZE, SIZE, 1), None, (10, 4))
    outputs = "num_outputs" if kind is mm.InContext else "num_ways"
    return generic(kind(model, loss="cross_entropy", **{outputs: WAYS}, **settings))


def regressor():
    model = mlp(1, (7, 6), None, kernel_initializer="he_normal")
    return generic(mm.InContext(model, num_outputs=1, width=8, depth=2, heads=2))


CLASSIFIERS = [mm.ProtoNet, mm.MatchingNetworks, mm.InContext]
by_name = pytest.mark.parametrize("kind", CLASSIFIERS, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", [*CLASSIFIERS, None], ids=str)
@pytest.mark.parametrize("batching", ["batched", "map"])
def test_meta_gradient_is_the_difference_quotient(float64, kind, batching):
    learner = classifier(kind) if kind else regressor()
    learner.map_tasks = batching == "map"
    batch = omniglot_fixture.make_batch() if kind else make_batch()
    check_along_a_direction(learner, batch)


@by_name
def test_a_task_alone_is_the_same_as_among_others(float64, kind):
    learner, batch = classifier(kind), omniglot_fixture.make_batch()
    together = learner.after_each_step(batch.support, batch.query.x).predictions
    one = tf.nest.map_structure(lambda part: part[1:2], batch)
    alone = learner.after_each_step(one.support, one.query.x).predictions
    assert together.shape[0] == 1
    np.testing.assert_allclose(alone[:, 0], together[:, 1], rtol=1e-9, atol=1e-12)
    adapted = learner.adapt(batch.support.x, batch.support.y)
    np.testing.assert_allclose(adapted.predict(batch.query.x), together[0], **SAME)
    with pytest.raises(ValueError, match="takes no gradient steps: num_steps=3"):
        learner.adapt(batch.support.x, batch.support.y, num_steps=3)


@pytest.mark.parametrize("kind", [*CLASSIFIERS, None], ids=str)
def test_the_order_of_support_points_does_not_matter(float64, kind):
    learner = classifier(kind) if kind else regressor()
    batch = omniglot_fixture.make_batch(num_shots=2) if kind else make_batch()
    order = np.random.default_rng(0).permutation(batch.support.x.shape[1])
    turned = mm.Examples(*(tf.gather(part, order, axis=1) for part in batch.support))
    first, second = (
        learner.after_each_step(support, batch.query.x).predictions
        for support in (batch.support, turned)
    )
    np.testing.assert_allclose(second, first, rtol=1e-8, atol=1e-10)
    swapped = batch.support._replace(y=tf.roll(batch.support.y, 1, 1))
    changed = learner.after_each_step(swapped, batch.query.x).predictions
    assert np.abs(changed - first).max() > 1e-3


def test_in_context_does_not_depend_on_other_queries(float64):
    learner, batch = regressor(), make_batch()
    together = learner.after_each_step(batch.support, batch.query.x).predictions
    alone = learner.after_each_step(batch.support, batch.query.x[:, 2:3]).predictions
    np.testing.assert_allclose(alone, together[:, :, 2:3], **SAME)


def test_a_block_of_the_transformer_in_numpy(float64):
    block, rng = Block(8, 2), np.random.default_rng(0)
    block.build((None, None, 8))
    for variable in block.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    tokens = rng.normal(size=(1, 5, 8))  # of which three are the support set

    def normed(layer, x):
        scale, shift = layer.get_weights()
        deviation = np.sqrt(x.var(-1, keepdims=True) + layer.epsilon)
        return (x - x.mean(-1, keepdims=True)) / deviation * scale + shift

    read = normed(block.norms[0], tokens[0])
    q, bq, k, bk, v, bv, o, bo = block.attention.get_weights()
    h = tokens[0] + bo
    for head in range(2):
        queries, keys, values = (
            rows @ kernel[:, head] + bias[head]
            for rows, kernel, bias in ((read, q, bq), (read[:3], k, bk), (read[:3], v, bv))
        )
        h += tf.nn.softmax(queries @ keys.T / np.sqrt(4)).numpy() @ values @ o[head]
    w1, b1, w2, b2 = block.mlp.get_weights()
    hidden = normed(block.norms[1], h) @ w1 + b1
    expected = h + hidden * stats.norm.cdf(hidden) @ w2 + b2  # GELU
    np.testing.assert_allclose(block(tf.constant(tokens), num_support=3)[0], expected, rtol=1e-6)


def test_prototypes_by_distance_are_the_linear_form(float64):
    learner, batch = classifier(mm.ProtoNet), omniglot_fixture.make_batch(num_shots=2)
    logits = learner.after_each_step(batch.support, batch.query.x).predictions[0]
    support, queries = learner.network(batch.support.x), learner.network(batch.query.x)
    labels = batch.support.y.numpy()
    for task in range(len(labels)):
        means = [support[task].numpy()[labels[task] == way].mean(0) for way in range(WAYS)]
        distances = np.sum((queries[task].numpy()[:, None] - np.stack(means)) ** 2, -1)
        np.testing.assert_allclose(
            tf.nn.softmax(logits[task]), tf.nn.softmax(-distances), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("scale", [None, 3.0])
def test_matching_weights_sum_to_one(float64, scale):
    learner = classifier(mm.MatchingNetworks, cosine_scale=scale)
    factor = 1.0 if scale is None else float(learner.scale)
    batch = omniglot_fixture.make_batch(num_shots=2)
    support, queries = learner.network(batch.support.x), learner.network(batch.query.x)
    weights = tf.nn.softmax(learner.similarity(support, queries)).numpy()
    np.testing.assert_allclose(weights.sum(-1), 1, **SAME)
    task, query = 1, 2
    units = [part / np.linalg.norm(part) for part in support[task].numpy()]
    cosines = units @ (queries[task, query].numpy() / np.linalg.norm(queries[task, query]))
    np.testing.assert_allclose(weights[task, query], tf.nn.softmax(factor * cosines), **SAME)
    logs = learner.after_each_step(batch.support, batch.query.x).predictions[0]
    np.testing.assert_allclose(np.exp(logs).sum(-1), 1, **SAME)
    np.testing.assert_allclose(tf.nn.softmax(logs), np.exp(logs), **SAME)
    members = weights[task, query][batch.support.y[task].numpy() == 1]
    np.testing.assert_allclose(np.exp(logs[task, query, 1]), members.sum(), **SAME)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="heads=3 do not divide width=8"):
        mm.InContext(mlp(1, (4,), None), num_outputs=1, width=8, heads=3)


@by_name
def test_by_support_statistics_no_answer_depends_on_other_queries(float64, kind):
    learner = classifier(kind, bn_statistics="support")
    batch = omniglot_fixture.make_batch()
    together = learner.after_each_step(batch.support, batch.query.x).predictions
    alone = learner.after_each_step(batch.support, batch.query.x[:, 2:3]).predictions
    np.testing.assert_allclose(alone, together[:, :, 2:3], **SAME)


@by_name
def test_all_tasks_share_one_ordinary_convolution(kind):
    """But for the first layer, whose filters outnumber the pixels that they see."""
    learner, batch = classifier(kind), omniglot_fixture.make_batch()
    graph = (
        tf.function(lambda: learner.meta_loss(batch), autograph=False).get_concrete_function().graph
    )
    images = [op.inputs[0].shape[0] for op in graph.get_operations() if op.type == "Conv2D"]
    assert images == [part.x.shape[0] * part.x.shape[1] for part in (batch.support, batch.query)]


@pytest.mark.parametrize("kind", [mm.ProtoNet, mm.MatchingNetworks])
def test_a_class_without_support_images_is_never_the_answer(float64, kind):
    """Nor does it spoil the gradient."""
    learner, batch = classifier(kind), omniglot_fixture.make_batch()
    absent = WAYS - 1
    support = batch.support._replace(y=tf.minimum(batch.support.y, absent - 1))
    logits = learner.after_each_step(support, batch.query.x).predictions[0]
    assert tf.nn.softmax(logits).numpy()[..., absent].max() < 1e-6
    loss, gradients = meta_gradient(learner, batch._replace(support=support))
    assert all(np.isfinite(value).all() for value in (loss, *gradients))


def test_embeddings_that_are_no_vectors_are_one_line():
    model = conv_net((SIZE, SIZE, 1), None, (4,))
    maps = keras.Model(model.inputs, model.layers[-2].output)
    with pytest.raises(ValueError, match=r"must embed an input as a vector.*\[3, 3, 4\].*Flatten"):
        mm.ProtoNet(maps, num_ways=WAYS)


def test_a_plain_function_may_build_a_method():
    mm.methods.register("built", "regression", settings=("inner_loop",))(
        lambda model, **settings: mm.MAML(model, name="mine", **settings)
    )
    try:
        learner = tiny_domain("built").build_learner()
    finally:
        mm.methods.METHODS.remove("built")
    assert learner.name == "mine" and learner.inner_loop.num_steps == 2


def test_figures_show_a_single_prediction_once():
    domain = tiny_domain("in_context", width=8, depth=2, heads=2)
    shown = domain._shown()
    values = shown.predictions(domain.build_learner())
    alone = shown.figures({"in_context": values})["predictions"]
    assert [text.get_text() for text in alone.legends[0].get_texts()] == [
        "truth",
        "in_context, 0 steps",
        "support",
    ]
    assert set(shown.figures({"a": values, "b": values})) == {"predictions_before", "predictions"}
    image, probabilities = np.zeros((1, 2, 4, 4)), np.full((1, 2, 2), 0.5)
    for steps in ({0}, {0, 3}):
        drawn = episodes(image, image, dict.fromkeys(steps, probabilities))
        lines = [text.get_text() for text in drawn.axes[2].texts]
        assert lines == [f"{number} steps: 0 (0.50)" for number in sorted(steps)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(depth=0), "--depth=0: must be 1 to 1000"),
        (dict(depth=10**6), "--depth=1000000: must be 1 to 1000"),
        (dict(heads=3), "--heads=3: must divide --width=64"),
        (dict(width=4 * 10**6), "--width=4000000: needs .* of memory"),
    ],
)
def test_a_transformer_that_cannot_be(settings, words):
    with (
        pytest.raises(ConfigError, match=words),
        within_memory(tiny_domain("in_context", **settings).config),
    ):
        pass
