"""Small files that ask for much: a conversion refuses them, or does it within bounds of time and memory."""

import contextlib
import resource
import time

import numpy as np
import onnx
import pytest
from tests.tensorflow_graphs import Shape, const, graph_def, node

import panmodel
from panmodel.dtypes import FLOAT32, INT32
from panmodel.errors import LimitError, PanmodelError, UnsupportedOperatorsError
from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.tensorflow_messages import AttrValue, Dim, TensorProto, TensorShapeProto

SECONDS, MEBIBYTES = 20.0, 400

X = node("x", "Placeholder", dtype=FLOAT32, shape=Shape((None, None, None, 3)))
#: A vector of one symbolic size, from which expressions are made.
SIZE = (
    X,
    node("shape", "Shape", "x", T=FLOAT32, out_type=INT32),
    node("d0", "GatherV2", "shape", "one", "zero", Tparams=INT32, Tindices=INT32, Taxis=INT32),
    const("zero", 0, np.int32),
    const("one", [1], np.int32),
)
OUT = node("out", "Relu", "last", T=FLOAT32)


def filled(name, *sizes):
    """A constant of one element, repeated: a few bytes in the file."""
    shape = TensorShapeProto(dim=[Dim(size=size) for size in sizes])
    tensor = AttrValue(tensor=TensorProto(dtype=1, tensor_shape=shape, float_val=[1.0]))
    return node(name, "Const", dtype=FLOAT32, value=tensor)


def expressions(op, count=60, second=None):
    """Sizes each of which is made of the one before, twice if nothing else is given."""
    steps = []
    for index in range(count):
        other = f"e{index}" if second else f"d{index}"
        if second:
            steps.append(node(other, second, f"d{index}", "one", T=INT32))
        steps.append(node(f"d{index + 1}", op, f"d{index}", other, T=INT32))
    return (*SIZE, *steps, const("v", 1.0, np.float32), node("last", "Fill", f"d{count}", "v", T=FLOAT32))


def doublings(first, dtype):
    steps = [node(f"c{i + 1}", "ConcatV2", f"c{i}", f"c{i}", "axis", N=2, T=dtype, Tidx=INT32) for i in range(40)]
    return first, const("axis", 0, np.int32), *steps, node("last", "Cast", "c40", SrcT=dtype, DstT=FLOAT32)


GRAPHS = {
    "a tensor filled beyond all memory": (
        const("n", [10**9, 10**9], np.int32),
        const("v", 1.0, np.float32),
        node("last", "Fill", "n", "v", T=FLOAT32),
    ),
    "a range beyond all memory": (
        *(const(name, number, np.int32) for name, number in (("a", 0), ("b", 2**31 - 1), ("c", 1))),
        node("r", "Range", "a", "b", "c", Tidx=INT32),
        node("last", "Cast", "r", SrcT=INT32, DstT=FLOAT32),
    ),
    "weights that double": doublings(const("c0", np.ones(100, np.float32)), FLOAT32),
    "integers that double": doublings(const("c0", np.ones(100, np.int32)), INT32),
    "arithmetic on a large constant of one value": (
        filled("c", 1 << 28),
        node("e", "Exp", "c", T=FLOAT32),
        node("last", "Neg", "e", T=FLOAT32),
    ),
    "sizes squared again and again": expressions("Mul"),
    "sizes multiplied into ever longer sums": expressions("Mul", second="Add"),
    "quotients of quotients": expressions("FloorDiv", second="Add"),
    "vectors of sizes broadcast against each other": (
        *SIZE,
        const("many", [3000], np.int32),
        node("t", "Tile", "d0", "many", T=INT32),
        node("column", "ExpandDims", "t", "one", T=INT32),
        node("s", "Add", "t", "column", T=INT32),
        node("last", "Cast", "s", SrcT=INT32, DstT=FLOAT32),
    ),
    "numbers broadcast against each other": (
        const("t", np.arange(4096), np.int32),
        const("one", 1, np.int32),
        node("column", "ExpandDims", "t", "one", T=INT32),
        *(node(f"s{index}", "Add", "t", "column", T=INT32) for index in range(30)),
        node("s", "AddN", *(f"s{index}" for index in range(30)), T=INT32, N=30),
        node("last", "Cast", "s", SrcT=INT32, DstT=FLOAT32),
    ),
    "a product of very many factors": (
        X,
        const("c", 2.0, np.float32),
        *(node(f"m{i + 1}", "Mul", f"m{i}" if i else "x", "c", T=FLOAT32) for i in range(2000)),
        node("last", "Relu", "m2000", T=FLOAT32),
    ),
    "slices without number": (X, node("u", "Unpack", "x", num=10**9, axis=1, T=FLOAT32), node("last", "Relu", "u:5")),
    "pieces without number": (
        X,
        const("axis", 1, np.int32),
        node("u", "Split", "axis", "x", num_split=10**7, T=FLOAT32),
        node("last", "Relu", "u:5"),
    ),
    "classes along an axis far out": (
        node("i", "Placeholder", dtype=INT32, shape=Shape((None,))),
        const("depth", 5, np.int32),
        const("on", 1.0, np.float32),
        const("off", 0.0, np.float32),
        node("last", "OneHot", "i", "depth", "on", "off", axis=-(10**9), T=FLOAT32),
    ),
}


@pytest.mark.parametrize("what", GRAPHS)
def test_a_small_graph_stays_small(what, tmp_path):
    path = tmp_path / "net.pb"
    path.write_bytes(encode_bytes(graph_def(*GRAPHS[what], OUT)))
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with contextlib.suppress(PanmodelError):
        panmodel.convert(path, tmp_path / "net.onnx", dry_run=True)
    assert time.process_time() - begin < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEBIBYTES << 10


def test_a_list_of_unsupported_operators_stays_readable(tmp_path):
    names = [f"n{index}" + "z" * 3000 for index in range(300)]
    foreign = [node(name, f"Foreign{index}" + "Q" * 3000, "x") for index, name in enumerate(names)]
    path = tmp_path / "net.pb"
    path.write_bytes(encode_bytes(graph_def(X, *foreign, node("last", "AddN", *names, T=FLOAT32, N=300), OUT)))
    with pytest.raises(UnsupportedOperatorsError, match="and 200 more") as caught:
        panmodel.convert(path, tmp_path / "net.onnx")
    assert len(caught.value.found) == 300
    assert len(str(caught.value)) < 100_000


def onnx_file(path, *nodes, initializers=(), functions=()):
    x, y = (
        onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", ["n", 3, "h", "w"]), ("y", None))
    )
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], list(initializers))
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("f", 1)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opsets, functions=functions).SerializeToString())
    return path


@pytest.mark.parametrize("target", ["net.py", "net.onnx"])
def test_functions_that_call_each_other_twice_at_every_level(target, tmp_path):
    def function(level):
        op, domain = (f"f{level + 1}", "f") if level < 40 else ("Relu", "")
        nodes = [onnx.helper.make_node(op, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))]
        opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("f", 1)]
        return onnx.helper.make_function("f", f"f{level}", ["a"], ["c"], nodes, opsets)

    call = onnx.helper.make_node("f0", ["x"], ["y"], domain="f")
    path = onnx_file(tmp_path / "a.onnx", call, functions=[function(level) for level in range(41)])
    begin = time.process_time()
    with pytest.raises(LimitError):
        panmodel.convert(path, tmp_path / target)
    assert time.process_time() - begin < SECONDS


CODE = "1), __import__('os').system('id'"
INJECTIONS = {
    "a group": onnx.helper.make_node("Conv", ["x", "w"], ["y"], group=CODE),
    "strides": onnx.helper.make_node("Conv", ["x", "w"], ["y"], strides=[CODE, CODE]),
    "an axis": onnx.helper.make_node("Softmax", ["x"], ["y"], axis=CODE),
    "a number": onnx.helper.make_node("Elu", ["x"], ["y"], alpha=CODE),
}


@pytest.mark.parametrize("what", INJECTIONS)
def test_no_attribute_becomes_code(what, tmp_path):
    weight = onnx.numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    path = onnx_file(tmp_path / "a.onnx", INJECTIONS[what], initializers=[weight])
    with pytest.raises(PanmodelError):
        panmodel.convert(path, tmp_path / "net.py")
    assert not (tmp_path / "net.py").exists()


@pytest.mark.parametrize("op", ["Sum", "Max", "Mean"])
@pytest.mark.parametrize("count", [200, 600, 5000])
def test_operands_without_number(op, count, tmp_path):
    names = [f"r{index}" for index in range(count)]
    nodes = [onnx.helper.make_node("Relu", ["x"], [name]) for name in names]
    path = onnx_file(tmp_path / "a.onnx", *nodes, onnx.helper.make_node(op, names, ["y"]))
    begin = time.process_time()
    with contextlib.suppress(PanmodelError):
        panmodel.convert(path, tmp_path / "net.py")
    assert time.process_time() - begin < SECONDS
