import numpy as np
import pytest

from panmodel.model.keras.order import in_order
from panmodel.model.tensor import ArrayTensor


def tensors(*names, dtype=np.float32):
    return {name: ArrayTensor(np.zeros(2, dtype), name) for name in names}


#: Weights of each kind of layer as Keras 3.15 and 2.3.1 list them.
LAYERS = [
    ["kernel", "bias"],
    ["depthwise_kernel:0", "bias:0"],
    ["depthwise_kernel", "pointwise_kernel", "bias"],
    ["gamma", "beta", "moving_mean", "moving_variance"],
    ["mean", "variance", "count"],
    ["embeddings", "reverse_embeddings"],
    ["kernel:0", "recurrent_kernel:0", "bias:0"],
    ["kernel", "recurrent_kernel", "bias", "kernel_1", "recurrent_kernel_1", "bias_1"],
    ["lstm_cell/kernel", "lstm_cell/recurrent_kernel", "lstm_cell/bias"],
    [
        f"{direction}_lstm/lstm_cell/{weight}"
        for direction in ("forward", "backward")
        for weight in ("kernel", "recurrent_kernel", "bias")
    ],
    [
        f"{part}/{weight}"
        for part in ("query", "key", "gate", "value", "attention_output")
        for weight in ("kernel", "bias")
    ],
    ["dense/kernel", "dense/bias", "vector_u"],
    ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    ["weights", "biases"],
]


@pytest.mark.parametrize("weights", LAYERS, ids=lambda weights: weights[0])
@pytest.mark.parametrize("scope", ["net/layer_7/", "layer/"])
def test_weights_of_one_layer(weights, scope):
    names = [scope + weight for weight in weights]
    for order in (sorted(names), names[::-1]):
        found = in_order(tensors(*order))
        assert found.layers == {scope[:-1]: names}
        assert not found.unknown


def test_weights_of_other_kinds_stay_where_they_are():
    assert in_order(tensors("x/a", "x/bias")).layers == {"x": ["x/a", "x/bias"]}
    found = in_order(tensors("x/bias", "x/first", "x/kernel", "x/second", "alone/odd"))
    assert found.layers["x"] == ["x/kernel", "x/first", "x/bias", "x/second"]
    assert found.unknown == ("x/first", "x/second")


def test_a_quantized_kernel_is_not_trained():
    found = in_order(tensors("x/kernel", dtype=np.int8) | tensors("x/bias"))
    assert found.layers == {"x": ["x/bias", "x/kernel"]}


def test_layers_stay_in_the_order_of_the_source():
    names = ["dense_2/kernel", "dense_10/kernel", "a/kernel", "fc.weight", "fc.bias"]
    found = in_order(tensors(*names))
    assert list(found.layers) == ["dense_2", "dense_10", "a", "fc"]
    assert not found.is_sorted


def test_numbers_count_by_their_value_where_names_are_sorted():
    layers = ["block_2/conv", "block_10/conv", "dense", "dense_1", "dense_9", "dense_10"]
    names = sorted(f"{layer}/{weight}" for layer in layers for weight in ("kernel", "bias"))
    found = in_order(tensors(*names))
    assert list(found.layers) == layers
    assert found.is_sorted
    assert list(in_order(tensors(*names), is_told=True).layers) != layers
    by_type = tensors("c/count", dtype=np.int64) | tensors(*names)  # as safetensors has them
    assert list(in_order(by_type).layers) == [*layers[:2], "c", *layers[2:]]


def test_the_name_of_the_model_is_none_of_a_layer():
    names = ["net/a/kernel", "net/b/c/kernel"]
    assert in_order(tensors(*names)).layers == {"a": names[:1], "b/c": names[1:]}
    for others in ([], ["net/kernel"], ["network/b/kernel"], ["net//kernel"]):
        assert "net/a" in in_order(tensors(*names[:1], *others)).layers
    assert in_order({}).layers == {}


def test_scopes_that_only_look_like_parts_of_a_layer_are_layers():
    names = ["net/query/kernel", "net/forward_dense/kernel", "net/fuel_cell/kernel", "lstm_cell/kernel"]
    assert list(in_order(tensors(*names)).layers) == [name.rpartition("/")[0] for name in names]
