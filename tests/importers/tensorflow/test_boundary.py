import numpy as np
import pytest
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import BOOL, FLOAT32, FLOAT64, INT32, INT64, UINT8
from panmodel.errors import UnknownNameError, UnsupportedError, UsageError
from panmodel.importers.tensorflow.boundary import feed, tensor_names
from panmodel.model.builder import Builder
from panmodel.model.tensorflow.graph import Versions

SOURCE = graph(
    node("images", "Placeholder", dtype=FLOAT32, shape=Shape((None, 8, None, 3))),
    node("flag", "Placeholder", dtype=BOOL, shape=Shape(())),
    node("rankless", "Placeholder", dtype=FLOAT64),
    node("next", "IteratorGetNext", output_types=[UINT8, INT64], output_shapes=[Shape((None, 2)), Shape(())]),
    node("conv/Relu", "Relu", "images", T=FLOAT32, _output_shapes=[Shape((None, 4))]),
    node("Mfcc", "Mfcc"),
    node("flat", "Reshape", "Mfcc", "shape", T=FLOAT32),
    node("same", "Equal", "images", "images", T=FLOAT32),
    node("cast", "Cast", "images", SrcT=FLOAT32, DstT=INT32),
    node("secret", "Secret"),
    const("shape", [-1], np.int32),
)


def fed(*names, source=SOURCE):
    build = Builder()
    return [feed(source, build, name) for name in names]


@pytest.mark.parametrize(
    ("name", "dtype", "shape"),
    [
        ("images:0", FLOAT32, ["batch", "8", "images_2", "3"]),
        ("flag:0", BOOL, []),
        ("rankless:0", FLOAT64, None),
        ("next:0", UINT8, ["batch", "2"]),
        ("next:1", INT64, []),
        ("conv/Relu:0", FLOAT32, ["batch", "4"]),
        ("Mfcc:0", FLOAT32, None),
        ("same:0", BOOL, None),
        ("cast:0", INT32, None),
        ("shape:0", INT32, None),
    ],
)
def test_what_the_graph_says_about_a_tensor(name, dtype, shape):
    (value,) = fed(name)
    assert (value.name, value.dtype) == (name, dtype)
    assert shape == (None if value.shape is None else [str(size) for size in value.shape])


def test_only_the_first_input_has_the_batch():
    first, second = fed("next:0", "conv/Relu:0")
    assert [str(size) for size in first.shape] == ["batch", "2"]
    assert [str(size) for size in second.shape] == ["Relu_0", "4"]


def test_an_unknown_type():
    with pytest.raises(UnsupportedError, match="'secret:0'"):
        fed("secret:0")


@pytest.mark.parametrize(("producer", "shape"), [(21, None), (22, ())])
def test_old_graphs_write_an_unknown_shape_as_that_of_a_scalar(producer, shape):
    source = graph(node("x", "Placeholder", dtype=FLOAT32, shape=Shape(())), versions=Versions(producer))
    assert fed("x:0", source=source)[0].shape == shape


def test_names():
    assert tensor_names(SOURCE, ["images", "next:1", "images:0"], "input") == ["images:0", "next:1", "images:0"]
    with pytest.raises(UnknownNameError, match=r"no input named 'image'.*\n.*'images'"):
        tensor_names(SOURCE, ["image"], "input")
    with pytest.raises(UnknownNameError, match=r"no output named 'cast_1:0'.*\n.*'cast:0'"):
        tensor_names(SOURCE, ["cast_1:0"], "output")
    with pytest.raises(UsageError, match="no tensor name"):
        tensor_names(SOURCE, ["images:first"], "input")
