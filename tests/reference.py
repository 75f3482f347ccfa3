"""Algorithm 1 the slow and obvious way: one task at a time, plain weight lists, one tape each."""

import tensorflow as tf


def query_losses(learner, batch, num_steps, learning_rate, first_order=False, clip_norm=None):
    """Each task's query loss after the inner loop, [tasks]."""
    losses = []
    for task in range(len(batch.mode)):
        support_x, support_y = batch.support.x[task], batch.support.y[task]
        tau, _ = learner.modulate(
            type(batch.support)(support_x[None], support_y[None])  # the task on its own
        )
        weights = task_weights(learner, int(batch.mode[task]))
        for _ in range(num_steps):
            gradients = inner_gradients(learner, weights, tau, support_x, support_y)
            if first_order:
                gradients = [tf.stop_gradient(gradient) for gradient in gradients]
            if clip_norm is not None:
                norm = tf.sqrt(tf.add_n([tf.reduce_sum(g**2) for g in gradients]))
                factor = tf.minimum(tf.constant(1.0, norm.dtype), clip_norm / norm)
                gradients = [factor * gradient for gradient in gradients]
            weights = [w - learning_rate * g for w, g in zip(weights, gradients, strict=True)]
        predicted = predict(learner, weights, tau, batch.query.x[task])
        losses.append(tf.reduce_mean((batch.query.y[task] - predicted) ** 2))
    return tf.stack(losses)


def inner_gradients(learner, weights, tau, support_x, support_y):
    """One task's support gradients, like its weights."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = tf.reduce_mean((support_y - predict(learner, weights, tau, support_x)) ** 2)
    return tape.gradient(loss, weights)


def task_weights(learner, mode):
    """theta as a flat list: each variable's slice for the task's group."""
    group = mode if learner.network.num_groups > 1 else 0
    return [v.value[group] for layer in learner.network.fast_layers for v in layer.weights]


def predict(learner, weights, tau, x):
    """f(x; weights, tau) for one task: [N, 1] -> [N, 1]."""
    network, weights = learner.network, list(weights)
    h = x
    if network.bias_transformation_size:
        vector = weights.pop(0)
        h = tf.concat([h, tf.tile(vector[None], [len(h), 1])], 1)
    num_hidden = len(network.hidden_units)
    for block in range(num_hidden + 1):
        h = h @ weights[2 * block] + weights[2 * block + 1]
        if block < num_hidden:
            if tau is not None:
                h = network.modulation(h[None], tau[block])[0]
            h = tf.nn.relu(h)
    return h
