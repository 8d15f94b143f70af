import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.damage import assert_survives, contents_of

import panmodel as pm
from panmodel import dtypes
from panmodel.errors import CorruptError, LossyError, MissingFileError, UnsafeError, UnsupportedError
from panmodel.formats import detect, keras_hdf5
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.keras.structure import Layout
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, DeferredTensor
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, save

KERAS = Path(__file__).parents[1] / "fixtures" / "keras"
FILES = sorted(path.stem for path in KERAS.glob("*.h5"))


def write(folder, model):
    path = folder / "model.h5"
    with Sink(path, force=True) as sink:
        keras_hdf5.write(model, sink)
    return path


def model_of(arrays, **fields):
    return Model(
        "any", tensors={name: ArrayTensor(np.asarray(array), name) for name, array in arrays.items()}, **fields
    )


def group_file(folder, root):
    path = folder / "file.h5"
    with Sink(path, force=True) as sink:
        save(root, sink.open())
    return path


@pytest.mark.parametrize("name", FILES)
def test_weights_are_those_of_keras_in_its_order(name):
    model, right = pm.read(KERAS / f"{name}.h5"), np.load(KERAS / f"{name}.npz")
    assert model.format == "keras_hdf5"
    weights = list(model.weights.values())
    assert len(weights) == sum(key.startswith("w") for key in right)
    for place, tensor in enumerate(weights):
        assert np.array_equal(tensor.numpy(), right[f"w{place}"])


@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_back_as_it_was(name, tmp_path):
    model = pm.read(KERAS / f"{name}.h5")
    again = pm.read(write(tmp_path, model))
    assert list(again.tensors) == list(model.tensors)
    assert contents_of(again) == contents_of(model)
    assert again.structure.to_json() == model.structure.to_json()
    assert again.metadata == model.metadata


def test_the_optimizer_is_found(tmp_path):
    training = pm.read(KERAS / "keras2_adam.h5").training
    right = np.load(KERAS / "keras2_adam.npz")
    assert (training.step, training.optimizer) == (3, "adam")
    assert training.hyperparameters["beta_1"] == pytest.approx(0.9)
    # the step, six of m, then six of v
    assert np.array_equal(training.slots["first/kernel:0"]["m"].numpy(), right["o1"])
    assert np.array_equal(training.slots["second/bias:0"]["v"].numpy(), right["o12"])
    assert "norm/moving_mean:0" not in training.slots
    assert len(training.names) == 1 + 3 * 6


def test_configurations_are_plain_values():
    metadata = pm.read(KERAS / "keras2_adam.h5").metadata
    assert (metadata["framework"], metadata["keras_version"]) == ("keras", "2.3.1")
    assert metadata["model_config"]["class_name"] == "Sequential"
    assert metadata["training_config"]["optimizer_config"]["class_name"] == "Adam"


def elements(dtype, shape):
    random = np.random.default_rng(3)
    codes = random.integers(0, 2 if dtype is dtypes.BOOL else 256, (math.prod(shape), dtype.itemsize), np.uint8)
    if dtype.bits < 8:
        codes &= (1 << dtype.bits) - 1
        if dtype.kind == "i":
            codes = np.where(codes >> (dtype.bits - 1), codes | (0xFF << dtype.bits & 0xFF), codes).astype(np.uint8)
    return codes.reshape(-1).view(dtype.numpy).reshape(shape)


@pytest.mark.parametrize("name", [name for name, dtype in dtypes.ALL.items() if dtype.bits])
def test_every_type_keeps_its_bits(name, tmp_path):
    dtype = dtypes.ALL[name]
    tensors = {
        key: ArrayTensor(elements(dtype, shape), key, dtype=dtype)
        for key, shape in {"layer/matrix": (3, 7), "layer/scalar": (), "layer/none": (0, 4), "odd": (5,)}.items()
    }
    found = pm.read(write(tmp_path, Model("any", tensors=tensors)))
    assert contents_of(found) == contents_of(Model("any", tensors=tensors))
    for key, tensor in found.tensors.items():
        assert tensor.numpy().tobytes() == tensors[key].numpy().tobytes()


def test_strings(tmp_path):
    array = np.array([[b"a", b"", "zwölf".encode()], [b"\xff\xfe", b"x" * 70_000, b" "]], object)
    found = pm.read(write(tmp_path, model_of({"text": array}))).tensors["text"]
    assert found.dtype is dtypes.STRING
    assert found.numpy().tolist() == array.tolist()


def test_what_hdf5_cannot_hold_is_refused(tmp_path):
    tensors = {"a/b": DeferredTensor("a/b", dtypes.VARIANT, (1,), list)}
    with pytest.raises(UnsupportedError, match="a/b"):
        write(tmp_path, Model("any", tensors=tensors))
    assert list(tmp_path.iterdir()) == []


NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("/.:a0"), max_size=12)


@given(
    names=st.lists(NAMES | st.sampled_from(["", "a", "a/a", "a/a/a", "a/a/a/b", "/a", "a/", "a.b", "a\0"]), unique=True)
)
@settings(max_examples=150, deadline=None)
def test_names_come_back_whatever_they_are(names, tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    model = model_of({name: np.float32(place) for place, name in enumerate(names)})
    found = pm.read(write(folder, model)).tensors
    assert {name: float(tensor.numpy()) for name, tensor in found.items()} == {n: p for p, n in enumerate(names)}


def test_layers_are_made_of_names(tmp_path):
    names = ["conv/kernel:0", "conv/bias:0", "head.weight", "alone", "block/conv/kernel"]
    model = pm.read(write(tmp_path, model_of(dict.fromkeys(names, 1.0))))
    assert list(model.tensors) == names
    assert model.structure.groups[""].layers == ["conv", "head", "alone", "block/conv"]
    assert model.structure.places["conv/kernel:0"] == "conv/conv/kernel:0"


def test_a_tensor_under_two_names_is_one(tmp_path):
    shared = ArrayTensor(np.arange(10_000.0), "tied")
    path = write(tmp_path, Model("any", tensors={"embed/kernel": shared, "head/kernel": shared}))
    found = pm.read(path).tensors
    assert found["embed/kernel"] is found["head/kernel"]
    assert path.stat().st_size < 100_000


def test_long_lists_of_names_are_split_and_joined(tmp_path):
    names = [f"layer_{place:05d}{'x' * 40}/kernel:0" for place in range(3000)]
    path = write(tmp_path, model_of(dict.fromkeys(names, np.float32(1))))
    assert list(pm.read(path).tensors) == names
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r") as file:
        assert {"layer_names0", "layer_names1"} <= set(file.attrs)


def test_the_same_name_in_two_layers_has_the_layer_before_it(tmp_path):
    def layer(value):
        return NewGroup(
            {"kernel:0": NewDataset(ArrayTensor(np.float32(value)))}, {"weight_names": np.array([b"kernel:0"])}
        )

    root = NewGroup({"a": layer(1), "b": layer(2)}, {"layer_names": np.array([b"b", b"a"])})
    assert list(pm.read(group_file(tmp_path, root)).tensors) == ["b/kernel:0", "a/kernel:0"]


def keras3(optimizer=True):
    """The arrangement of Keras 3: paths of attributes, where layers go by numbers of their classes."""

    def variables(name, *shapes):
        members = {str(n): NewDataset(ArrayTensor(np.full(s, n, np.float32))) for n, s in enumerate(shapes)}
        return NewGroup({"vars": NewGroup(members, {"name": name})})

    layers = {"dense": variables("encoder", (2, 3), (3,)), "dense_1": variables("decoder", (3, 2), (2,))}
    root = NewGroup({"layers": NewGroup(layers), "vars": NewGroup({}, {"name": "net"})})
    if optimizer:
        shapes = [(), (), *(shape for weight in ((2, 3), (3,), (3, 2), (2,)) for shape in (weight, weight))]
        root.members["optimizer"] = variables("adam", *shapes)
    return root


def test_variables_of_keras_3_have_the_names_of_the_user_s_layers(tmp_path):
    model = pm.read(group_file(tmp_path, keras3()))
    weights = [f"layers/{layer}/vars/{n}" for layer in ("encoder", "decoder") for n in (0, 1)]
    assert list(model.weights) == weights
    assert list(model.tensors)[4:] == [f"optimizer/vars/{n}" for n in range(10)]
    assert model.structure.layout is Layout.VARIABLES
    assert model.structure.places[weights[2]] == "layers/dense_1/vars/0"
    # without a configuration the order of layers is not known, and with it whose slots these are
    assert (model.training.step, model.training.slots) == (0, {})
    again = pm.read(write(tmp_path, model))
    assert again.structure.to_json() == model.structure.to_json()


def test_renamed_variables_keep_their_places(tmp_path):
    model = pm.read(group_file(tmp_path, keras3(optimizer=False)))
    new = {name: name.replace("layers/encoder", "stem") for name in model.tensors}
    tensors = {new[name]: tensor for name, tensor in model.tensors.items()}
    again = pm.read(write(tmp_path, Model("any", tensors=tensors, structure=model.structure.edited(new))))
    assert list(again.tensors) == list(tensors)
    assert again.structure.places["stem/vars/0"] == "layers/dense/vars/0"


def test_any_other_file_is_read_by_paths(tmp_path):
    root = NewGroup(
        {"b": NewGroup({"x10": NewDataset(ArrayTensor(np.arange(3)))}), "a": NewDataset(ArrayTensor(np.arange(2)))}
    )
    root.members["b"].members["x9"] = NewDataset(ArrayTensor(np.arange(4)), {"unit": "m"})
    model = pm.read(group_file(tmp_path, root))
    assert list(model.tensors) == ["a", "b/x9", "b/x10"]
    assert model.training is None
    assert [notice.names for notice in model.notices] == [("b/x9/unit",)]
    assert "framework" not in model.metadata


@pytest.mark.parametrize(
    "attributes",
    [{"layer_names": np.array([b"gone"])}, {"layer_names": np.zeros(0), "weight_names": np.array([b"gone"])}],
)
def test_lists_of_what_is_not_there_are_refused(tmp_path, attributes):
    with pytest.raises(CorruptError, match="'gone', which is not there"):
        pm.read(group_file(tmp_path, NewGroup({}, attributes)))


@pytest.mark.parametrize("names", ["[]", "{", '{"a": 1}', '{"gone": "x"}', '{"a": "b"}'])
def test_own_names_are_not_believed(tmp_path, names):
    members = {name: NewDataset(ArrayTensor(np.float32(1))) for name in "ab"}
    with pytest.raises(CorruptError):
        pm.read(group_file(tmp_path, NewGroup(members, {"panmodel.names": names})))


def test_links_to_other_files_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(UnsafeError):
        pm.read(tmp_path / "a.h5")


def test_opaque_elements_without_a_name_are_said(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["opaque"] = np.zeros(3, "V3")
        file["x"] = np.zeros(3)
    model = pm.read(tmp_path / "a.h5")
    assert list(model.tensors) == ["x"]
    assert model.notices[0].names == ("opaque",)


@pytest.mark.parametrize("version", ["3.15.1", "2.15.0", None])
def test_keras_stores_bfloat16_without_a_name(tmp_path, version):
    h5py = pytest.importorskip("h5py")
    bits = np.arange(3, dtype=np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = ["a"]
        weights.create_group("a").attrs["weight_names"] = ["kernel"]
        weights["a/kernel"] = bits.view("V2")
        if version is not None:
            file.attrs["keras_version"] = version
    model = pm.read(tmp_path / "a.h5")
    assert [str(tensor.dtype) for tensor in model.tensors.values()] == ["bfloat16"]
    assert not model.notices
    assert model.tensors["kernel"].numpy().view(np.uint16).tolist() == [0, 1, 2]
    pm.convert(tmp_path / "a.h5", tmp_path / "b.h5")
    assert contents_of(pm.read(tmp_path / "b.h5")) == contents_of(model)


def test_keras_2_stores_variables_in_bfloat16_without_a_name(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file["_layer_checkpoint_dependencies/dense/vars/0"] = np.arange(3, dtype=np.uint16).view("V2")
    (tensor,) = pm.read(tmp_path / "a.weights.h5").tensors.values()
    assert str(tensor.dtype) == "bfloat16"


def test_without_training_nothing_of_it_stays(tmp_path):
    model = pm.read(KERAS / "keras2_adam.h5")
    names = {name: name for name in model.weights}
    structure = model.structure.edited(names, keep_training=False)
    again = pm.read(write(tmp_path, Model("any", tensors=dict(model.weights), structure=structure)))
    assert again.training is None
    assert list(again.tensors) == list(model.weights)
    assert "model_config" in again.metadata


def sharded(folder):
    """The variables of `keras3` in shards of one tensor each; gives the index."""
    whole = pm.read(group_file(folder, keras3()))
    with keras_hdf5.FORMAT.sink(folder / "net.weights.h5", shard_size=1) as sink:
        keras_hdf5.write(whole, sink)
    return whole, folder / "net.weights.json"


def test_shards_are_one_model(tmp_path):
    whole, index = sharded(tmp_path)
    assert len(list(tmp_path.glob("net_*.weights.h5"))) == len(whole.tensors) > 1
    for path in (index, tmp_path / "net_00001.weights.h5"):
        assert detect(Location(path)).name == "keras_hdf5"
        found = pm.read(path)
        assert contents_of(found) == contents_of(whole)
        assert list(found.tensors) == list(whole.tensors) and found.structure == whole.structure
        assert found.metadata["shards"] == len(whole.tensors)


def test_shards_that_are_not_there_or_of_another_model(tmp_path):
    _, index = sharded(tmp_path)
    (tmp_path / "net_00001.weights.h5").write_bytes((tmp_path / "net_00000.weights.h5").read_bytes())
    with pytest.raises(CorruptError, match=r"net_00001\.weights\.h5 lacks|two of its files"):
        pm.read(index)
    (tmp_path / "net_00001.weights.h5").unlink()
    with pytest.raises(MissingFileError, match="it holds"):
        pm.read(index)


def test_layers_are_not_written_in_shards(tmp_path):
    sink = keras_hdf5.FORMAT.sink(tmp_path / "net.h5", shard_size=1)
    with pytest.raises(UnsupportedError, match="Keras 3"), sink:
        keras_hdf5.write(pm.read(KERAS / "keras2_adam.h5"), sink)
    assert list(tmp_path.iterdir()) == []


def test_damaged_shards_are_read_or_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    _, index = sharded(folder)
    assert_survives(lambda path: contents_of(pm.read(path)), index, cuts=100, flips=1000)


def test_positions_and_names_that_keras_does_not_load_are_announced(tmp_path):
    np.savez(tmp_path / "a.npz", **{"dense_10/kernel": np.ones(2), "dense_2/kernel": np.zeros(2)})
    report = pm.convert(tmp_path / "a.npz", tmp_path / "a.h5", dry_run=True)
    assert [(notice.kind, notice.names) for notice in report.notices] == [("assumed", ("dense_2", "dense_10"))]
    report = pm.convert(tmp_path / "a.npz", tmp_path / "a.weights.h5")
    assert [notice.kind for notice in report.notices] == ["read-otherwise"]
    assert [notice.kind for notice in pm.write(pm.read(tmp_path / "a.weights.h5"), tmp_path / "b.h5").notices] == []
    with pytest.raises(LossyError, match="by position"):
        pm.convert(tmp_path / "a.npz", tmp_path / "c.h5", strict=True)


def test_detection():
    assert detect(Location(KERAS / "keras2_adam.h5")).name == "keras_hdf5"
    assert keras_hdf5.FORMAT.is_name(Path("model.weights.h5"))


def test_damaged_files_are_read_or_refused(tmp_path):
    path = tmp_path / "model" / "model.h5"
    path.parent.mkdir()
    root = keras3()
    root.attributes["model_config"] = json.dumps({"class_name": "x"})
    with Sink(path) as sink:
        save(root, sink.open())
    assert_survives(lambda path: contents_of(pm.read(path)), path)


def test_damaged_files_of_keras_are_read_or_refused(tmp_path):
    path = tmp_path / "model" / "model.h5"
    path.parent.mkdir()
    path.write_bytes((KERAS / "keras2_weights.h5").read_bytes())
    assert_survives(lambda path: contents_of(pm.read(path)), path)
