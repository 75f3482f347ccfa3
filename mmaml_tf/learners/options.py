"""What a learner may be told, by name. Free of TensorFlow: settings are checked against it."""

# How many rows a dense layer's fast weights are laid out for: as many as it sees, one (factored
# wherever one is cheaper), or none (multiplied out).
FAST_WEIGHTS = ("auto", "factored", "materialised")
# Of inner steps on mini-batches: plain, or Adam without momentum (beta_1 = 0), from rest in every
# task.
INNER_OPTIMIZERS = ("sgd", "adam")
# One task after the other, all at once, or as is faster on the device (`devices.execution`).
TASK_BATCHINGS = ("auto", "map", "batched")
# What batch norm normalises queries by: the query set itself, or in predictions the support set.
BN_STATISTICS = ("transductive", "support")
