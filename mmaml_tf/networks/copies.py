"""A model once more, with freshly initialised weights."""

import keras


def fresh(model: keras.Model, input_tensors: keras.KerasTensor | None = None) -> keras.Model:
    """The same layers with new weights where they train; what does not is copied, such as
    pretrained weights that are frozen, and the statistics of a `Normalization`.

    Args:
      model: of any kind that Keras can clone.
      input_tensors: other inputs that it is to see.

    Raises:
      ValueError: if weights that are to be copied have another shape for these inputs.
    """
    copy = keras.models.clone_model(model, input_tensors=input_tensors)
    trained = {id(weight) for weight in model.trainable_weights}
    for weight, own in zip(model.weights, copy.weights, strict=True):
        if id(weight) in trained:
            continue
        if weight.shape != own.shape:
            raise ValueError(
                f"{model.name}: {weight.path} of shape {list(weight.shape)} does not train, and "
                f"for these inputs it is to be {list(own.shape)}: make it trainable, or put the "
                "layer outside the model"
            )
        own.assign(weight)
    for layer in copy._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # which takes over its weights
    return copy
