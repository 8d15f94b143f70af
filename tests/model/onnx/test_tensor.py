"""Elements as ONNX stores them: raw, listed, or in another file that must not lie elsewhere."""

import os

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_files import external, info, load_all, read, save, write

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, MissingFileError, UnsafeError, UnsupportedError
from panmodel.io.source import MemorySource
from panmodel.model.builder import Builder
from panmodel.model.onnx.tensor import TensorReader, proto_from_tensor
from panmodel.model.tensor import ArrayTensor
from panmodel.wire import onnx_messages
from panmodel.wire.protobuf import decode


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


def read_proto(tmp_path, proto):
    """A message of onnx's own package, read by ours."""
    from panmodel.io.source import Location

    message = decode(onnx_messages.TensorProto, MemorySource(proto.SerializeToString()))
    return TensorReader(Location(tmp_path)).read(message)


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"data_type": 99, "dims": [1]}, CorruptError, "type number 99"),
        ({"data_type": 1, "dims": [-1]}, CorruptError, r"\[-1\]"),
        ({"data_type": 1, "dims": [1 << 40, 1 << 40]}, CorruptError, "shape"),
        ({"data_type": 1, "dims": [1] * 300}, LimitError, "rank 300"),
        ({"data_type": 1, "dims": [3], "raw_data": b"1234"}, CorruptError, "'w'"),
        ({"data_type": 1, "dims": [1 << 50], "float_data": [1.0]}, CorruptError, "4 bytes of numbers"),
        ({"data_type": 8, "dims": [2], "string_data": [b"a"]}, CorruptError, "1 strings"),
        ({"data_type": 8, "dims": [1], "raw_data": b"a"}, CorruptError, "raw bytes"),
        ({"data_type": 1, "dims": [2]}, CorruptError, "0 bytes"),
    ],
)
def test_elements_that_do_not_fit(tmp_path, fields, error, said):
    with pytest.raises(error, match=said):
        read_proto(tmp_path, TensorProto(name="w", **fields)).numpy()


def test_too_few_listed_numbers_are_found_when_read(tmp_path):
    tensor = read_proto(tmp_path, TensorProto(name="w", data_type=1, dims=[2], float_data=[1.0, 2.0, 3.0]))
    with pytest.raises(CorruptError, match="3 numbers stored"):
        tensor.numpy()


def test_tensors_in_segments_are_unsupported(tmp_path):
    proto = TensorProto(name="w", data_type=1, dims=[1], float_data=[1.0])
    proto.segment.begin, proto.segment.end = 0, 1
    with pytest.raises(UnsupportedError, match="segments"):
        read_proto(tmp_path, proto)


def test_types_that_onnx_lacks_are_not_written():
    lacking = next(dtype for dtype in dtypes.ALL.values() if not dtype.onnx and dtype.bits)
    with pytest.raises(UnsupportedError, match=lacking.name):
        proto_from_tensor(ArrayTensor(np.zeros(1, np.uint8), "w", dtype=lacking))


def test_strings_are_written_as_bytes():
    array = np.empty((1, 2), object)
    array[:] = [["é", b"\xff"]]
    proto = proto_from_tensor(ArrayTensor(array), "s")
    assert list(proto.string_data) == ["é".encode(), b"\xff"] and list(proto.dims) == [1, 2]
