import numpy as np
import pytest
from tests.checkpoints import Writer, box
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32
from panmodel.errors import CorruptError, UnknownNameError, UsageError
from panmodel.io.source import FileSource
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.bundle import read_bundle_tensors
from panmodel.model.tensorflow.variables import SavedAs, parse_slice, variable_tensor
from panmodel.wire.tensorflow_messages import SaveSliceInfoDef

TABLE = np.arange(40, dtype=np.float32).reshape(10, 4)


def tensors(**arrays):
    return {name: ArrayTensor(array, name) for name, array in arrays.items()}


def variable(name, shape=(10, 4), dtype=FLOAT32, **more):
    return node(name, "VariableV2", dtype=dtype, shape=Shape(shape), **more)


def value(*nodes, name, variables, **fields):
    found = graph(*nodes, variables=variables, **fields)
    return variable_tensor(found, found.nodes[name]).numpy()


def test_the_name_is_the_key():
    np.testing.assert_array_equal(value(variable("w"), name="w", variables=tensors(w=TABLE)), TABLE)


def test_a_resource_is_kept_under_its_shared_name():
    handle = node("scope/handle", "VarHandleOp", dtype=FLOAT32, shape=Shape((10, 4)), shared_name="w")
    np.testing.assert_array_equal(value(handle, name="scope/handle", variables=tensors(w=TABLE)), TABLE)


def restore(op, variable_name, key, piece):
    inputs = [const("keys", [key]), const("slices", [piece])]
    nodes = [*inputs, const("file", ["x"]), node("restore", op, "file", "keys", "slices")]
    return [*nodes, node("same", "Identity", "restore"), node("assign", "Assign", variable_name, "same")]


@pytest.mark.parametrize("op", ["RestoreV2", "RestoreSlice"])
def test_restore_operators_say_the_key(op):
    nodes = [variable("renamed"), *restore(op, "renamed", "w", "")]
    np.testing.assert_array_equal(value(*nodes, name="renamed", variables=tensors(w=TABLE, renamed=TABLE + 1)), TABLE)


def test_save_operators_say_the_key_and_come_first():
    nodes = [variable("v"), *restore("RestoreV2", "v", "pretrained", ""), const("names", ["w"]), const("none", [""])]
    nodes += [node("read", "Identity", "v"), node("save", "SaveV2", "file", "names", "none", "read")]
    np.testing.assert_array_equal(value(*nodes, name="v", variables=tensors(w=TABLE, pretrained=TABLE + 1)), TABLE)


def test_a_part_of_a_partitioned_variable_is_its_slice():
    nodes = [variable("w/part_1", (5, 4)), *restore("RestoreV2", "w/part_1", "w", "10 4 5,5:-")]
    np.testing.assert_array_equal(value(*nodes, name="w/part_1", variables=tensors(w=TABLE)), TABLE[5:])


def test_collections_know_slices_where_no_saver_does():
    part = SaveSliceInfoDef(full_name="w", full_shape=[10, 4], var_offset=[0, 1], var_shape=[10, 2])
    found = value(variable("w/part_0", (10, 2)), name="w/part_0", variables=tensors(w=TABLE), slices={"w/part_0": part})
    np.testing.assert_array_equal(found, TABLE[:, 1:3])


def test_a_missing_variable_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no tensor in the checkpoint named 'layer/kernel'") as caught:
        value(variable("layer/kernel"), name="layer/kernel", variables=tensors(**{"layer/kernels": TABLE}))
    assert "layer/kernels" in caught.value.hint


def test_a_graph_without_checkpoint():
    with pytest.raises(UsageError, match="without a checkpoint"):
        value(variable("w"), name="w", variables={})


@pytest.mark.parametrize(
    "nodes",
    [
        [variable("w", (4, 10))],
        [variable("w", dtype=INT32)],
        [variable("w", (5, 4)), *restore("RestoreV2", "w", "w", "10 4 6,5:-")],
        [variable("w", (5, 4)), *restore("RestoreV2", "w", "w", "12 4 5,5:-")],
        [variable("w", (5, 4)), *restore("RestoreV2", "w", "w", "ten")],
    ],
    ids=["shape", "dtype", "outside", "other shape", "no slice"],
)
def test_what_does_not_fit_is_refused(nodes):
    with pytest.raises(CorruptError):
        value(*nodes, name="w", variables=tensors(w=TABLE))


def test_slices():
    assert parse_slice("w", "") == SavedAs("w")
    assert parse_slice("w", "10 4 0,5:-") == SavedAs("w", ((0, 5), (0, 4)), (10, 4))
    for wrong in ("10 4 0,5", "10 x 0,5:-", "10 4 0:-", "10 4"):
        with pytest.raises(CorruptError, match="slice"):
            parse_slice("w", wrong)


def test_a_part_reads_its_own_slice_alone(tmp_path):
    """Each half of the table is under its own checksum: the damaged one is not looked at for the other."""
    writer = Writer(tmp_path)
    halves = [(box((start, 5), None), TABLE[start : start + 5]) for start in (0, 5)]
    prefix = writer.add_slices("w", (10, 4), halves).write()
    data = bytearray(writer.data.read_bytes())
    data[0] ^= 1
    writer.data.write_bytes(data)
    stored = read_bundle_tensors(FileSource(f"{prefix}.index"), lambda *_: FileSource(writer.data)).tensors
    nodes = [variable("w/part_1", (5, 4)), *restore("RestoreV2", "w/part_1", "w", "10 4 5,5:-")]
    np.testing.assert_array_equal(value(*nodes, name="w/part_1", variables=stored), TABLE[5:])
    with pytest.raises(CorruptError, match="checksum"):
        stored["w"].numpy()
