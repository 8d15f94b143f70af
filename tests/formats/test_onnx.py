import os

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.damage import assert_survives

from panmodel import dtypes
from panmodel.errors import (
    CorruptError,
    LimitError,
    MissingFileError,
    ReadError,
    UnsafeError,
    UnsupportedError,
    UsageError,
)
from panmodel.formats import onnx as format_onnx
from panmodel.formats.onnx import FORMAT
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.model import Model
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor, StoredTensor

FLOAT = TensorProto.FLOAT


def read(path):
    return FORMAT.read(Location(path))


def write(graph, path, **options):
    with Sink(path) as sink:
        format_onnx.write(graph if isinstance(graph, Model) else Model("test", graph), sink, **options)
    return path


def info(name, shape=(2,), kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, inputs, outputs, initializers=(), opset=18, **more):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), *more.pop("opsets", [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, **more), path)
    return path


def small_model(path):
    """Every way to store elements, a body with captures, attributes of all kinds."""
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    listed = helper.make_tensor("v", FLOAT, [3], [1.0, 2.0, 3.0])
    half = helper.make_tensor("h", TensorProto.FLOAT16, [3], [1.0, 2.0, 3.0])
    text = helper.make_tensor("s", TensorProto.STRING, [1], [b"a"])
    inner = helper.make_graph([helper.make_node("Mul", ["y", "v"], ["then"])], "then", [], [info("then", None)])
    other = helper.make_graph([helper.make_node("Neg", ["y"], ["else"])], "else", [], [info("else", None)])
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
        helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=other),
        helper.make_node("LeakyRelu", ["z"], ["l"], alpha=0.25),
        helper.make_node("Cast", ["h"], ["hf"], to=FLOAT),
        helper.make_node("Add", ["l", "hf"], ["sum"]),
        helper.make_node("Pow", ["sum", "two"], ["out"]),
        helper.make_node("Identity", ["s"], ["label"]),
    ]
    inputs = [info("x", ("batch", 2)), info("c", (), TensorProto.BOOL)]
    outputs = [info("out", ("batch", 3)), info("label", (1,), TensorProto.STRING)]
    return save(path, nodes, inputs, outputs, [weight, listed, half, text])


def load_all(path):
    model = read(path)
    return {name: tensor.numpy() for name, tensor in model.tensors.items()}


def test_reads_names_types_and_weights(tmp_path):
    model = read(small_model(tmp_path / "m.onnx"))
    graph = model.program
    assert [value.name for value in graph.inputs] == ["x", "c"]
    assert graph.inputs[0].shape == (Dim.symbol("batch"), 2)
    assert list(graph.outputs) == ["out", "label"]
    assert graph.operators()["If"] == 1 and "Constant" not in graph.operators()
    assert set(model.tensors) == {"w", "v", "h", "s"}
    assert isinstance(model.tensors["w"], StoredTensor)
    np.testing.assert_array_equal(model.tensors["v"].numpy(), [1, 2, 3])
    np.testing.assert_array_equal(model.tensors["h"].numpy(), np.array([1, 2, 3], np.float16))
    assert model.tensors["s"].numpy()[0] == b"a"
    branch = next(node for node in graph.nodes if node.op == "If").attr("then_branch")
    assert [value.name for value in branch.captures()] == ["y"]


def test_written_model_passes_the_checker_and_reads_the_same(tmp_path):
    first = read(small_model(tmp_path / "a.onnx"))
    path = write(first, tmp_path / "b.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    second = read(path)
    assert second.program.operators() == first.program.operators()
    assert second.program.opset == 18
    assert load_all(path).keys() >= load_all(tmp_path / "a.onnx").keys()
    # what is read once more is written with the same bytes
    again = write(second, tmp_path / "c.onnx")
    assert write(read(again), tmp_path / "d.onnx").read_bytes() == again.read_bytes()


def test_metadata_survives(tmp_path):
    path = save(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], [info("x")], [info("y")], opset=13)
    proto = onnx.load(path)
    helper.set_model_props(proto, {"labels": "cat,dog"})
    proto.domain, proto.model_version, proto.ir_version = "org.example", 7, 9
    onnx.save(proto, path)
    model = read(path)
    assert model.metadata["metadata_props"] == {"labels": "cat,dog"}
    written = onnx.load(write(model, tmp_path / "b.onnx"))
    assert (written.domain, written.model_version, written.ir_version) == ("org.example", 7, 9)
    assert written.opset_import[0].version == 13
    assert written.metadata_props[0].value == "cat,dog"
    assert written.producer_name == "panmodel"


@pytest.mark.parametrize("name", sorted(name for name, dtype in dtypes.ALL.items() if dtype.onnx and dtype.bits))
def test_elements_of_every_type(tmp_path, name):
    dtype = dtypes.ALL[name]
    array = np.array([2, 1, 1, 8, 1] if name == "float8_e8m0fnu" else [0, 1, 1, 0, 1]).astype(dtype.numpy)
    build = Builder()
    build.output("y", build.weight(ArrayTensor(array, "w", dtype=dtype)))
    path = write(build.graph(), tmp_path / "m.onnx")
    np.testing.assert_array_equal(read(path).tensors["w"].numpy(), array)
    stored = next(item for item in onnx.load(path).graph.initializer if item.name == "w")
    np.testing.assert_array_equal(numpy_helper.to_array(stored).astype(np.complex128), array.astype(np.complex128))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TensorProto.INT8, [-3, 4, 5]),
        (TensorProto.BFLOAT16, [1.0, -2.0, 0.5]),
        (TensorProto.UINT64, [1, 2, 1 << 63]),
        (TensorProto.DOUBLE, [0.1, 0.2, 0.3]),
        (TensorProto.COMPLEX64, [1 + 2j, 0, 3j]),
        (TensorProto.BOOL, [True, False, True]),
        (TensorProto.INT4, [-8, 7, 1]),
        (TensorProto.FLOAT8E4M3FN, [1.0, 2.0, -1.5]),
    ],
)
def test_lists_of_numbers(tmp_path, kind, values):
    tensor = helper.make_tensor("w", kind, [3], values)
    path = save(
        tmp_path / "m.onnx", [helper.make_node("Identity", ["w"], ["y"])], [], [info("y", (3,), kind)], [tensor]
    )
    want = numpy_helper.to_array(tensor)
    found = read(path).tensors["w"].numpy()
    np.testing.assert_array_equal(found.astype(np.complex128), want.astype(np.complex128))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_integers_survive(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("m") / "m.onnx"
    build = Builder()
    build.output("y", build.weight(ArrayTensor(np.array(values, np.int64), "w")))
    np.testing.assert_array_equal(read(write(build.graph(), path)).tensors["w"].numpy(), np.array(values, np.int64))


def test_outputs_have_their_exact_names(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (2,))
    y = build.op("Relu", x)
    weight = build.weight(ArrayTensor(np.ones(2, np.float32), "w"))
    for name, value in {"first": y, "second": y, "x": x, "copy": x, "w": weight}.items():
        build.output(name, value)
    path = write(build.graph(), tmp_path / "m.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    proto = onnx.load(path)
    assert [item.name for item in proto.graph.output] == ["first", "second", "x", "copy", "w"]
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node)


def test_an_output_with_the_name_of_another_input_is_refused(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (2,))
    build.output("x", build.op("Relu", x))
    with pytest.raises(UsageError, match="'x'"):
        write(build.graph(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_names_used_twice_become_unique(tmp_path):
    x = Value("v", dtypes.FLOAT32, (2,))
    build = Builder()
    start = build.input("x", dtypes.FLOAT32, (2,))
    y = build.op("Relu", start)
    z = build.op("Neg", y)
    y.name = z.name = x.name
    build.output("out", build.op("Add", y, z))
    path = write(build.graph(), tmp_path / "m.onnx")
    onnx.checker.check_model(str(path), full_check=True)


def test_functions_are_inlined(tmp_path):
    inner = helper.make_function(
        "f", "Scale", ["a"], ["b"],
        [
            helper.make_node("Constant", [], ["k"], value_float=3.0),
            helper.make_node("Mul", ["a", "k"], ["t"]),
            helper.make_node("LeakyRelu", ["t"], ["b"]),
        ],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    inner.node[2].attribute.append(
        onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    )
    inner.attribute.append("slope")
    outer = helper.make_function(
        "f", "Twice", ["a"], ["b"],
        [
            helper.make_node("Scale", ["a"], ["m"], domain="f", slope=0.5),
            helper.make_node("Scale", ["m"], ["b"], domain="f", slope=2.0),
        ],
        [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)],
    )  # fmt: skip
    nodes = [helper.make_node("Twice", ["x"], ["y"], domain="f")]
    path = tmp_path / "m.onnx"
    save(path, nodes, [info("x")], [info("y")], functions=[inner, outer], opsets=[helper.make_opsetid("f", 1)])
    graph = read(path).program
    assert graph.operators() == {"LeakyRelu": 2, "Mul": 2}
    first, second = (node for node in graph.nodes if node.op == "LeakyRelu")
    assert first.attr("alpha") == 0.5 and second.attr("alpha") == 2.0
    # by hand: three times, then leaking a half, then the same with a slope of two
    x = np.array([-1, 2], np.float32)
    from onnx.reference import ReferenceEvaluator

    (found,) = ReferenceEvaluator(onnx.load(write(graph, tmp_path / "n.onnx"))).run(None, {"x": x})
    np.testing.assert_array_equal(found, [-1 * 3 * 0.5 * 3 * 2, 2 * 3 * 3])


def test_functions_in_a_circle(tmp_path):
    loop = helper.make_function(
        "f", "F", ["a"], ["b"], [helper.make_node("F", ["a"], ["b"], domain="f")], [helper.make_opsetid("f", 1)]
    )
    nodes = [helper.make_node("F", ["x"], ["y"], domain="f")]
    path = save(tmp_path / "m.onnx", nodes, [info("x")], [info("y")], functions=[loop])
    with pytest.raises(LimitError, match="circle"):
        read(path)


# Graphs that are none


def test_nodes_out_of_order(tmp_path):
    nodes = [helper.make_node("Neg", ["a"], ["y"], name="late"), helper.make_node("Relu", ["x"], ["a"])]
    with pytest.raises(CorruptError, match=r"'late'.*'a'"):
        read(save(tmp_path / "m.onnx", nodes, [info("x")], [info("y")]))


def test_a_missing_output(tmp_path):
    with pytest.raises(CorruptError, match=r"outputs.*'y'"):
        read(save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["a"])], [info("x")], [info("y")]))


def test_a_name_defined_twice(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["y"])]
    with pytest.raises(CorruptError, match="'y'"):
        read(save(tmp_path / "m.onnx", nodes, [info("x")], [info("y")]))


def test_a_sequence_as_input_is_unsupported(tmp_path):
    sequence = helper.make_tensor_sequence_value_info("x", FLOAT, None)
    with pytest.raises(UnsupportedError, match="'x'"):
        read(save(tmp_path / "m.onnx", [helper.make_node("SequenceLength", ["x"], ["y"])], [sequence], [info("y")]))


def test_an_input_with_a_default_becomes_a_constant(tmp_path):
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    model = read(save(tmp_path / "m.onnx", nodes, [info("x"), info("w")], [info("y")], [weight]))
    assert [value.name for value in model.program.inputs] == ["x"]
    assert model.notices[0].names == ("w",)


# External data


def external(path, folder_name="w.bin", **entries):
    """A model whose one weight lies elsewhere, as the entries say."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": folder_name, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return save(path, [helper.make_node("Add", ["x", "w"], ["y"])], [info("x", (4,))], [info("y", (4,))], [tensor])


def test_external_data(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"...." + np.arange(4, dtype=np.float32).tobytes())
    path = external(tmp_path / "m.onnx", offset="4", length="16")
    np.testing.assert_array_equal(load_all(path)["w"], [0, 1, 2, 3])


def test_checksum_of_external_data(tmp_path):
    import hashlib

    data = np.arange(4, dtype=np.float32).tobytes()
    (tmp_path / "w.bin").write_bytes(data)
    path = external(tmp_path / "m.onnx", checksum=hashlib.sha1(data).hexdigest())
    np.testing.assert_array_equal(load_all(path)["w"], [0, 1, 2, 3])
    (tmp_path / "w.bin").write_bytes(b"\1" + data[1:])
    with pytest.raises(CorruptError, match=r"'w'.*SHA-1"):
        load_all(path)


@pytest.mark.parametrize("where", ["../w.bin", "a/../../w.bin", "/etc/passwd", "..\\w.bin", "sub/../../m/../w.bin"])
def test_external_data_outside_the_folder(tmp_path, where):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    folder = tmp_path / "m"
    folder.mkdir()
    with pytest.raises(UnsafeError):
        read(external(folder / "m.onnx", where))


def test_external_data_by_basepath_stays_inside(tmp_path):
    with pytest.raises(UnsafeError):
        read(external(tmp_path / "m.onnx", basepath=".."))


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_external_data_through_a_link(tmp_path, link):
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "m"
    folder.mkdir()
    link(tmp_path / "secret", folder / "w.bin")
    with pytest.raises(UnsafeError, match="link"):
        read(external(folder / "m.onnx"))


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ({"offset": "4"}, CorruptError),
        ({"offset": "-4"}, CorruptError),
        ({"length": "12"}, CorruptError),
        ({"length": "9" * 40}, CorruptError),
        ({"location": "none.bin"}, MissingFileError),
        ({"location": ""}, CorruptError),
    ],
)
def test_external_data_that_is_not_there(tmp_path, entries, error):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    with pytest.raises(error):
        read(external(tmp_path / "m.onnx", **entries))


def test_large_weights_go_to_a_file_of_their_own(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (50, 50))
    weights = {name: np.random.default_rng(0).standard_normal((50, 50)).astype(np.float32) for name in ("a", "b")}
    for name, array in weights.items():
        x = build.op("MatMul", x, build.transpose(build.weight(ArrayTensor(array, name)), (1, 0)))
    build.output("y", build.op("Add", x, build.weight(ArrayTensor(np.ones(50, np.float32), "c"))))
    path = write(build.graph(), tmp_path / "m.onnx", largest=5000)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"]
    assert path.stat().st_size < 5000
    onnx.checker.check_model(str(path), full_check=True)
    proto = onnx.load(path)  # with the external data
    stored = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    np.testing.assert_array_equal(stored["a"], weights["a"].T)
    model = read(path)
    assert {model.tensors[name].extent.offset % 4096 for name in ("a", "b")} == {0}
    assert model.tensors["c"].extent.source.name == str(path)
    np.testing.assert_array_equal(model.tensors["b"].numpy(), weights["b"].T)


def test_a_graph_too_large_by_itself_is_refused(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (2,))
    for _ in range(20):
        x = build.op("Relu", x)
    build.output("y", x)
    with pytest.raises(UnsupportedError, match="without its weights"):
        write(build.graph(), tmp_path / "m.onnx", largest=100)


# Sniffing


def test_knows_itself(tmp_path):
    path = small_model(tmp_path / "m.onnx")
    assert FORMAT.sniff(Location(path))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # cut short it is still one, so that reading can say what is wrong
    assert FORMAT.sniff(Location(path))
    with pytest.raises(ReadError):
        read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"\x08\x01",
        b"\x08\x01\x12\x00",  # a SavedModel: its second field is a message, and there is no seventh
        b"\x0a\x03\x0a\x01a",  # a GraphDef
        b"PK\x03\x04" + bytes(60),
        b"\x80\x02}q\x00.",
        b"\x89HDF\r\n\x1a\n" + bytes(50),
        b'\x10\x00\x00\x00\x00\x00\x00\x00{"a": 1}',
        b"node {\n  name: 'x'\n}\n",
    ],
)
def test_knows_what_it_is_not(tmp_path, data):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert not FORMAT.sniff(Location(path))


def test_a_folder_is_no_model(tmp_path):
    assert not FORMAT.sniff(Location(tmp_path))


def test_only_hub_graphs_are_written(tmp_path):
    with pytest.raises(UnsupportedError):
        write(Model("safetensors"), tmp_path / "m.onnx")


def test_shapes_without_sizes(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [info("x", (None, 3))], [info("y", (None, 3))])
    (x,) = read(path).program.inputs
    assert isinstance(x.shape[0], Dim) and x.shape[1] == 3


def test_an_optional_output_left_out(tmp_path):
    nodes = [helper.make_node("TopK", ["x", "k"], ["", "i"])]
    k = numpy_helper.from_array(np.array([1]), "k")
    path = save(tmp_path / "m.onnx", nodes, [info("x", (4,))], [info("i", (1,), TensorProto.INT64)], [k])
    written = onnx.load(write(read(path), tmp_path / "n.onnx"))
    assert list(written.graph.node[0].output) == ["", "i"]


def test_empty_lists_keep_their_kind(tmp_path):
    weights = [numpy_helper.from_array(np.ones((1, 8, 2), np.float32), name) for name in ("w", "r")]
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)
    node.attribute.append(onnx.AttributeProto(name="activation_alpha", type=onnx.AttributeProto.FLOATS))
    path = save(tmp_path / "m.onnx", [node], [info("x", (1, 1, 2))], [info("y", (1, 1, 1, 2))], weights)
    written = onnx.load(write(read(path), tmp_path / "n.onnx"))
    assert {item.name: item.type for item in written.graph.node[0].attribute}["activation_alpha"] == 6


def test_survives_damage(tmp_path):
    assert_survives(load_all, small_model(tmp_path / "m.onnx"))


def test_survives_damage_with_external_data(tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    assert_survives(load_all, external(tmp_path / "m.onnx", offset="0", length="16"), cuts=100, flips=500)
