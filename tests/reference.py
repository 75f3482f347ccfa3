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
    """theta as a flat list: that of the task's group."""
    groups = learner.network.groups
    return [v.value for v in groups[mode if len(groups) > 1 else 0]]


def predict(learner, weights, tau, x):
    """f(x; weights, tau) for one task: [N, 1] -> [N, 1]."""
    weights, h = list(weights), x
    if weights[0].shape.rank == 1:  # the bias transformation's vector
        vector = weights.pop(0)
        h = tf.concat([h, tf.tile(vector[None], [len(h), 1])], 1)
    num_blocks = len(weights) // 2
    for block in range(num_blocks):
        h = h @ weights[2 * block] + weights[2 * block + 1]
        if block < num_blocks - 1:
            if tau is not None:
                h = learner.network.modulation(h[None], tau[block])[0]
            h = tf.nn.relu(h)
    return h
