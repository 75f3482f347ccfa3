"""Gaussian policies and the trajectory encoder."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from mmaml_tf.encoders.gru import GRUEncoder
from mmaml_tf.encoders.moments import MomentEncoder
from mmaml_tf.rl import policy
from mmaml_tf.rl.rollouts import Rollouts
from tests.rl_problem import (
    ACT,
    BANDIT_GOALS,
    HIDDEN,
    HORIZON,
    OBS,
    make_experience,
    make_learner,
    make_rollouts,
    tiny_domain,
)

ENCODERS = pytest.mark.parametrize("encoder", [GRUEncoder, MomentEncoder])


def outputs_of(seed, *shape, size=3):
    return np.random.default_rng(seed).normal(size=(*shape, 2 * size)) * 0.7


def test_log_prob_against_scipy():
    outputs = outputs_of(0, 4)
    actions = np.random.default_rng(1).normal(size=(4, 3))
    expected = stats.norm(outputs[:, :3], np.exp(outputs[:, 3:])).logpdf(actions).sum(-1)
    result = policy.log_prob(tf.constant(outputs), tf.constant(actions))
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_kl_against_the_closed_form():
    old, new = outputs_of(0, 4), outputs_of(1, 4)
    variance, new_variance = np.exp(2 * old[:, 3:]), np.exp(2 * new[:, 3:])
    expected = new[:, 3:] - old[:, 3:] - 0.5
    expected = expected + (variance + (old[:, :3] - new[:, :3]) ** 2) / (2 * new_variance)
    result = policy.kl_divergence(tf.constant(old), tf.constant(new))
    np.testing.assert_allclose(result, expected.sum(-1), rtol=1e-12)
    np.testing.assert_allclose(
        policy.kl_divergence(tf.constant(old), tf.constant(old)), np.zeros(4)
    )


def test_fisher_product_is_the_second_derivative_of_the_divergence():
    old, tangent = tf.constant(outputs_of(0, 1)), tf.constant(outputs_of(1, 1))
    new = tf.identity(old)
    with tf.GradientTape() as outer:
        outer.watch(new)
        with tf.GradientTape() as inner:
            inner.watch(new)
            divergence = policy.kl_divergence(old, new)[0]
        slope = tf.reduce_sum(inner.gradient(divergence, new) * tangent)
    expected = outer.gradient(slope, new)
    np.testing.assert_allclose(policy.fisher_product(old, tangent), expected, rtol=1e-10)


def test_outputs_are_the_mean_network_and_a_log_sigma_of_no_state():
    learner = make_learner(modulation=None)
    observations = tf.random.stateless_normal([2, 5, OBS], [0, 1])
    outputs = learner.outputs(observations, learner.network.prior(), None).numpy()
    h = observations.numpy()
    *layers, log_stddev = learner.network.model.layers
    for index, layer in enumerate(layers):
        h = h @ layer.kernel.numpy() + layer.bias.numpy()
        h = np.tanh(h) if index < len(HIDDEN) else h
    np.testing.assert_allclose(outputs[..., :ACT], h, rtol=1e-5)
    np.testing.assert_allclose(
        outputs[..., ACT:], np.broadcast_to(log_stddev.vector.numpy(), h.shape), rtol=1e-6
    )


def test_settings_reach_the_learner():
    limits = dict(inner_clip_norm=0.5, inner_clip_value=0.25, first_order=True)
    learner = tiny_domain("maml", discount=0.9, gae_lambda=0.8, **limits).build_learner()
    loop = learner.inner_loop
    assert (loop.clip_norm, loop.clip_value, loop.first_order) == tuple(limits.values())
    assert (learner.discount, learner.gae_lambda) == (0.9, 0.8)
    *_, log_stddev = learner.network.model.layers
    np.testing.assert_array_equal(log_stddev.vector, [0.0, 0.0])


def test_log_sigma_adapts():
    learner = make_learner()
    experience = make_experience(learner)
    tau, _ = learner.modulate(experience.trajectories)
    before = learner.network.prior()
    after = learner.inner_step(before, tau, experience.supports[0], tf.constant(0.3))
    (vector,), (theta,) = after[-1].parts, before[-1].parts
    assert vector.shape == (3, ACT) and np.abs(vector - theta).min() > 1e-4


def test_inner_step_is_reinforce():
    """theta' = theta + alpha sum_n w_n A_n grad log pi, by differences, in the mean's bias."""
    learner = make_learner()
    experience = make_experience(learner)
    support = experience.supports[0]
    tau, _ = learner.modulate(experience.trajectories)
    prior = learner.network.prior()
    after = learner.inner_step(prior, tau, support, tf.constant(0.3))

    kernel, bias = prior[-2].parts

    def gain(bias):
        fast = [*prior[:-2], prior[-2]._replace(parts=(kernel, bias)), prior[-1]]
        log_prob = policy.log_prob(
            learner.outputs(support.observations, fast, tau), support.actions
        )
        return tf.reduce_sum(support.weights * support.advantages * log_prob, 1).numpy()

    epsilon = 1e-2
    slope = (gain(bias + epsilon) - gain(bias - epsilon)) / (2 * epsilon)
    # float32 differences over 2e-2.
    np.testing.assert_allclose(
        after[-2].parts[1][:, 0] - bias[:, 0], 0.3 * slope, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("modulation", ["film", "sigmoid", "softmax"])
def test_every_hidden_layer_is_modulated(modulation):
    learner = make_learner(modulation)
    tau, embedding = learner.modulate(make_rollouts(num_rollouts=1))
    assert len(tau) == len(HIDDEN) and embedding.shape == (3, 3)
    observations = tf.ones([3, 1, OBS])
    plain = learner.outputs(observations, learner.network.prior(), tau)
    for index in range(len(tau)):
        changed = list(tau)
        changed[index] = changed[index] + tf.random.stateless_normal(tau[index].shape, [2, 3])
        moved = learner.outputs(observations, learner.network.prior(), changed)
        assert np.abs(moved - plain).max() > 1e-4


@ENCODERS
def test_encoder_reads_every_step_of_every_trajectory_and_none_after_the_end(encoder):
    encoder = make_learner(encoder=encoder).modulator.encoder
    for layer in encoder.of_trajectory + encoder.of_task:
        layer.activation = tf.tanh  # no unit that is off hides a step
    rollouts = make_rollouts(num_rollouts=2)
    embedding = encoder(rollouts)
    for task, episode in np.ndindex(3, 2):
        for step in range(HORIZON):
            rewards = rollouts.rewards.numpy()
            rewards[task, episode, step] += 5.0
            changed = encoder(rollouts._replace(rewards=tf.constant(rewards)))
            difference = np.abs(changed - embedding).max(1)
            assert not np.delete(difference, task).any()
            assert (difference[task] > 1e-7) == bool(rollouts.mask[task, episode, step])


@ENCODERS
def test_encoder_does_not_care_for_the_order_or_number_of_trajectories(encoder):
    encoder = make_learner(encoder=encoder).modulator.encoder
    rollouts = make_rollouts(num_rollouts=2)
    swapped = Rollouts(*(part[:, ::-1] for part in rollouts))
    doubled = Rollouts(*(tf.concat([part, part], 1) for part in rollouts))
    for other in (swapped, doubled):
        np.testing.assert_allclose(encoder(other), encoder(rollouts), atol=1e-6)


def test_moments_are_numpys():
    """Over the live steps of each trajectory, whatever stands after its end."""
    encoder = MomentEncoder(3)
    lengths, width = [9, 4], 4
    steps = np.random.default_rng(0).normal([0, 5, -1, -8], [1, 2, 0.1, 3], size=(2, 9, width))
    mask = np.arange(9) < np.array(lengths)[:, None]
    summary = encoder.summary(tf.constant(steps), tf.constant(mask.astype(float))).numpy()
    assert summary.shape == (2, encoder.build_summary(width))
    for row, live in zip(summary, (steps[i, :n] for i, n in enumerate(lengths)), strict=True):
        expected = np.concatenate([live.mean(0), live.std(0)])
        expected = np.sign(expected) * np.log1p(np.abs(expected))
        correlation = np.corrcoef(live.T)[-1, :-1]
        # The deviation is of the variance plus 1e-6, so that numbers at rest are no division by 0.
        np.testing.assert_allclose(row, [*expected, *correlation], rtol=0, atol=1e-3)
    still = encoder.summary(tf.ones([1, 9, width]), tf.ones([1, 9])).numpy()
    assert np.isfinite(still).all() and np.abs(still[0, -3:]).max() < 1e-3


def test_moments_tell_what_a_bandit_pays_for():
    """A linear classifier of v at random weights; chance is a half."""
    keras.utils.set_random_seed(0)
    domain = tiny_domain(env_id="TestBandit-v0", goals=BANDIT_GOALS, encoder_units=16)
    learner = domain.build_learner()
    rng = np.random.default_rng(0)
    goals, modes = BANDIT_GOALS.sample(rng, 200)
    v = learner.adapt_to(domain.tasks(goals, rng), 0).embedding.numpy()
    v = np.concatenate([v, np.ones([200, 1])], 1)
    weights, *_ = np.linalg.lstsq(v[:100], 2.0 * modes[:100] - 1.0, rcond=None)
    assert ((v[100:] @ weights > 0) == modes[100:]).mean() > 0.9
