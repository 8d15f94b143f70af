import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.model.keras.tensor import DatasetTensor, element_type
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.hdf5 import read_file
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, save


def datasets(folder, **members):
    with Sink(folder / "file.h5", force=True) as sink:
        save(NewGroup(members), sink.open())
    return read_file(FileSource(folder / "file.h5")).members


def dataset(array, dtype=None, **attributes):
    return NewDataset(ArrayTensor(np.asarray(array), dtype=dtype), attributes)


class Sum:
    def __init__(self, said):
        self.said = said

    def update(self, piece):
        raise AssertionError

    def verify(self):
        return self.said


def test_the_attribute_says_what_opaque_elements_are(tmp_path):
    import ml_dtypes

    array = np.array([1.5, -2], ml_dtypes.bfloat16)
    found = datasets(tmp_path, x=dataset(array), q=dataset(np.int8([1, -2]), dtypes.ALL["qint8"]))
    assert element_type(found["x"]) is dtypes.BFLOAT16
    assert element_type(found["q"]) is dtypes.ALL["qint8"]
    tensor = DatasetTensor(found["x"], "x", dtypes.BFLOAT16)
    assert tensor.numpy().tolist() == [1.5, -2]
    assert tensor.extent.read() == array.tobytes()
    assert b"".join(map(bytes, tensor.chunks())) == array.tobytes()


@pytest.mark.parametrize("said", ["float64", "nothing", "string", "resource", "int64", "", "bfloat16"])
def test_an_attribute_that_does_not_fit_is_not_believed(tmp_path, said):
    assert element_type(datasets(tmp_path, x=dataset(np.float32([1]), dtype=None))["x"]) is dtypes.FLOAT32
    members = NewDataset(ArrayTensor(np.float32([1])), {"dtype": said})
    assert element_type(datasets(tmp_path, x=members)["x"]) is dtypes.FLOAT32


def test_packed_elements_have_a_byte_each_in_the_file(tmp_path):
    import ml_dtypes

    array = np.array([1, -2, 7], ml_dtypes.int4)
    found = datasets(tmp_path, x=dataset(array))["x"]
    tensor = DatasetTensor(found, "x", dtypes.ALL["int4"])
    assert tensor.numpy().tolist() == [1, -2, 7]
    assert tensor.extent is None
    assert b"".join(map(bytes, tensor.chunks())) == bytes([0xE1, 0x07])


def test_the_checksum_is_asked_before_elements_are_given(tmp_path):
    found = datasets(tmp_path, x=dataset([1, 2]), one=dataset(1))
    for name, content in (("x", [1, 2]), ("one", 1)):
        tensor = DatasetTensor(found[name], name, dtypes.INT64)
        assert tensor.numpy().tolist() == content
        tensor.hold_against(lambda: Sum(None))
        assert tensor.numpy().tolist() == content
        tensor.hold_against(lambda: Sum("wrong"))
        for read in (tensor.numpy, lambda tensor=tensor: list(tensor.chunks())):
            with pytest.raises(CorruptError, match=rf"'{name}'.*wrong"):
                read()
