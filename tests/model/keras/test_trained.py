import json
import time

import numpy as np

from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout
from panmodel.model.keras.trained import trained_weights, weights_of_layers
from panmodel.model.tensor import ArrayTensor


def layer(kind, name="", **config):
    return {"class_name": kind, "config": {"name": name, **config}}


def arranged(layers, places, **names):
    """Variables at places; `names` are those that the user gave to groups."""
    model = {"config": {"layers": layers}}
    groups = {f"{group.replace('__', '/')}/vars": GroupRecord({"name": name}) for group, name in names.items()}
    structure = LayerGroups(Layout.VARIABLES, "", groups, {place: place for place in places})
    structure.documents["config.json"] = json.dumps(model)
    return structure, {place: ArrayTensor(np.zeros(2, np.float32), place) for place in places}


def trained(layers, places, *, with_frozen=False, **names):
    """Paths of the trained variables."""
    return list(trained_weights(*arranged(layers, places, **names), with_frozen=with_frozen))


def test_layers_are_found_by_their_names_or_by_their_classes():
    places = [f"layers/dense{end}/vars/0" for end in ("", "_1", "_2")]
    layers = [layer("Dense", "z"), layer("InputLayer", "in"), layer("mine>Dense", "y"), layer("Dense", "x")]
    assert trained(layers, places) == places
    names = {"layers__dense": "x", "layers__dense_1": "y", "layers__dense_2": "z"}
    assert trained(layers, places, **names) == places[::-1]


def test_keras_2_counts_layers_that_have_weights_twice():
    own = "_layer_checkpoint_dependencies"
    places = [f"{own}/{part}/vars/0" for part in ("dense", "dense_2", f"sequential/{own}/dense", "dense_4")]
    inner = layer("Sequential", layers=[layer("InputLayer"), layer("Dense", "inside")])
    layers = [layer("InputLayer"), layer("Dense", "z"), layer("Dropout"), layer("Dense", "y"), inner, layer("Dense")]
    assert trained(layers, places) == places


def test_the_numbers_of_variables_are_numbers():
    places = [f"layers/dense/vars/{number}" for number in (0, 1, 10, 2)]
    assert trained([layer("Dense")], places) == [places[0], places[1], places[3], places[2]]


def test_both_directions_of_a_layer():
    places = [f"layers/bidirectional/{part}/cell/vars/0" for part in ("backward_layer", "forward_layer")]
    assert trained([layer("Bidirectional", layer=layer("LSTM"))], places) == places[::-1]


def test_attention_asks_before_it_answers():
    inside = [f"layers/multi_head_attention/{part}_dense/vars/0" for part in ("key", "output", "query", "value")]
    assert trained([layer("MultiHeadAttention")], inside) == [inside[2], inside[0], inside[3], inside[1]]
    private = [place.replace("attention/", "attention/_") for place in inside]
    assert trained([layer("MultiHeadAttention")], private)[0] == private[2]


def test_cells_in_the_order_of_the_configuration():
    places = [f"layers/rnn/cell/cells/{cell}/vars/0" for cell in ("gru_cell", "lstm_cell", "lstm_cell_1")]
    cells = layer("StackedRNNCells", cells=[layer("LSTMCell"), layer("GRUCell"), layer("LSTMCell")])
    assert trained([layer("RNN", cell=cells)], places) == [places[1], places[0], places[2]]
    cells["config"]["cells"].pop()
    assert trained([layer("RNN", cell=cells)], places) == []


def test_models_within_models():
    places = ["layers/sequential/layers/dense/vars/0", "layers/sequential/layers/dense_1/vars/0"]
    inner = layer("Sequential", layers=[layer("Dense", "b"), layer("Dense", "a")])
    assert trained([inner], places) == places
    inner["config"]["layers"][0]["config"]["trainable"] = False
    assert trained([inner], places) == places[1:]
    assert trained([inner], places, with_frozen=True) == places
    inner["config"]["trainable"] = False
    assert trained([inner], places) == []


def test_statistics_and_seeds_are_not_trained():
    places = [f"layers/batch_normalization/vars/{number}" for number in range(3)]
    places += ["layers/normalization/vars/0", "layers/dropout/seed_generator/vars/0", "layers/dense/vars/0"]
    layers = [layer("BatchNormalization", center=False), layer("Normalization"), layer("Dropout"), layer("Dense")]
    assert trained(layers, places) == [places[0], places[-1]]


def test_an_order_that_is_not_known_gives_nothing():
    places = [f"layers/{part}/vars/0" for part in ("dense", "mine/one", "mine/two")]
    assert trained([layer("Dense"), layer("Mine")], places) == []
    assert trained([layer("Dense"), layer("Mine")], places[:2]) == places[:2]


def test_configurations_that_are_none():
    for layers in (None, 3, [3, {}, {"config": 3}], [layer(None)], [layer("RNN", cell={"config": {"cells": [3]}})]):
        assert trained(layers, ["layers/dense/vars/0", "layers/rnn/cell/cells/lstm_cell/vars/0"]) == []


def test_models_nested_deeper_than_any():
    path, nested = "", layer("Dense")
    for _ in range(300):
        path, nested = f"layers/sequential/{path}", layer("Sequential", layers=[nested])
    assert trained([nested], [f"{path}layers/dense/vars/0"]) == []


def test_a_layer_that_is_listed_often_is_trained_once():
    places = [f"layers/dense/vars/{number}" for number in range(2000)]
    began = time.process_time()
    assert trained([layer("Dense", "d")] * 5000, places, layers__dense="d") == places
    assert time.process_time() - began < 10


def test_every_weight_of_a_layer_those_that_are_trained_first():
    inner = layer("Sequential", "net", layers=[layer("BatchNormalization"), layer("Dense", trainable=False)])
    layers = [
        layer("SpectralNormalization", "s"),
        inner,
        layer("Dropout", "rate"),
        layer("Dense", "last", trainable=False),
    ]
    within = "layers/sequential/layers"
    places = [f"{within}/batch_normalization/vars/{number}" for number in range(4)]
    places += [f"{within}/dense/vars/0", "layers/dense/vars/0"]
    spectral = [f"layers/spectral_normalization/{end}" for end in ("layer/vars/0", "vars/0", "vars/1")]
    others = ["layers/dropout/seed_generator/vars/0", "optimizer/vars/0", "metrics/mean/vars/0"]
    found = weights_of_layers(*arranged(layers, [*places, *spectral, *others]))
    assert found == {"s": [spectral[0], spectral[2]], "net": places[:5], "last": [places[5]]}
    assert list(found) == ["s", "net", "last"]


def test_layers_of_which_not_all_weights_are_known_are_none():
    assert weights_of_layers(*arranged([layer("Dense", "a")], ["layers/dense/vars/0", "vars/0"])) == {}
    assert (
        weights_of_layers(*arranged([layer("Mine", "a")], ["layers/mine/one/vars/0", "layers/mine/two/vars/0"])) == {}
    )
    assert weights_of_layers(*arranged(None, ["layers/dense/vars/0"])) == {}
