from __future__ import annotations

import io

import numpy as np
import pytest

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import Extent, MemorySource
from panmodel.model.notice import Assumed
from panmodel.model.numpy.reading import assumptions, tensor_of
from panmodel.model.tensor import Tensor
from panmodel.wire.npy import MAGIC, read_header


def tensor(data: bytes, *, lies: bool = True, piece: int = 7) -> Tensor:
    header = read_header(data, "x")
    content = data[header.begin :]
    extent = Extent(MemorySource(data), header.begin, header.nbytes) if lies else None
    return tensor_of("w", header, lambda: MemorySource(content).chunks(0, len(content), piece), "x", extent=extent)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("lies", [True, False])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<f4").reshape(2, 3),
        np.asfortranarray(np.arange(24, dtype=">u8").reshape(2, 3, 4)),
        np.array([1 + 2j, 3 - 4j], ">c8"),
        np.array(7, ">i2"),
        np.zeros((0, 3), ">f8"),
        np.array([True, False]),
    ],
)
def test_arrays_come_as_they_were(array, lies):
    found = tensor(saved(array), lies=lies)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found.numpy(), array)
    little = array.astype(array.dtype.newbyteorder("<"))
    assert b"".join(map(bytes, found.chunks())) == np.ascontiguousarray(little).tobytes()


def test_only_plain_elements_have_an_extent():
    assert tensor(saved(np.zeros(3, np.float32))).extent is not None
    assert tensor(saved(np.zeros(3, ">f4"))).extent is None
    assert tensor(saved(np.array(["a"]))).extent is None


def test_strings_are_objects():
    assert tensor(saved(np.array([["a", "é"]]))).numpy().tolist() == [["a", "é"]]
    assert tensor(saved(np.asfortranarray([[b"a", b"b"], [b"c", b"d"]]))).numpy().tolist() == [
        [b"a", b"b"],
        [b"c", b"d"],
    ]


def test_damaged_text_is_an_error_of_the_tensor():
    data = saved(np.array(["a"]))
    with pytest.raises(CorruptError, match="'w'"):
        tensor(data[:-4] + b"\xff" * 4).numpy()
    with pytest.raises(CorruptError, match="'w'"):
        tensor(data[:-1]).numpy()


def test_strings_are_held_in_memory_only_to_a_limit():
    text = b"{'descr': '|S100', 'fortran_order': False, 'shape': (99999999,), }"
    with pytest.raises(LimitError, match="'w'"):
        tensor(MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text)


def test_what_was_assumed_is_said():
    text = b"{'descr': '|V2', 'fortran_order': False, 'shape': (), }"
    header = read_header(MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text, "x")
    (notice,) = assumptions([("a", header), ("b", header)])
    assert isinstance(notice, Assumed)
    assert notice.names == ("a", "b")
    assert "bfloat16" in notice.detail
