import numpy as np
import pytest

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError
from panmodel.model.notice import TensorsIncomplete
from panmodel.model.partitioned import Part, PartitionedTensor, identities, incomplete, is_among, lacking, left_out
from panmodel.model.tensor import ArrayTensor

ROWS = np.arange(28, dtype=np.float32).reshape(7, 4)


class Counted(ArrayTensor):
    """A tensor that counts how often it is read."""

    reads = 0

    def numpy(self):
        self.reads += 1
        return super().numpy()


def partitioned(*boxes, shape=(7, 4)):
    parts = [Part((r.start, c.start), Counted(ROWS[r, c])) for r, c in boxes]
    return PartitionedTensor("t", FLOAT32, shape, parts)


FULL = slice(0, 4)
THREE = [(slice(0, 3), FULL), (slice(3, 5), FULL), (slice(5, 7), FULL)]


def test_the_whole_is_put_together():
    assert np.array_equal(partitioned(*THREE).numpy(), ROWS)
    tiles = [(slice(0, 3), slice(0, 2)), (slice(0, 3), slice(2, 4)), (slice(3, 7), FULL)]
    assert np.array_equal(partitioned(*tiles).numpy(), ROWS)


def test_slices_of_rows_stream():
    pieces = [bytes(piece) for piece in partitioned(*reversed(THREE)).chunks(16)]
    assert b"".join(pieces) == ROWS.tobytes()
    assert max(map(len, pieces)) <= 16


@pytest.mark.parametrize(
    ("start", "sizes", "read"),
    [((3, 0), (2, 4), [0, 1, 0]), ((2, 1), (2, 2), [1, 1, 0]), ((6, 0), (1, 4), [0, 0, 1]), ((0, 0), (0, 4), [0] * 3)],
)
def test_a_section_reads_what_it_needs(start, sizes, read):
    tensor = partitioned(*THREE)
    section = tensor.section("part", start, sizes)
    assert section.name == "part"
    assert [part.tensor.reads for part in tensor.parts] == [0, 0, 0]
    rows, columns = (slice(at, at + size) for at, size in zip(start, sizes, strict=True))
    assert np.array_equal(section.numpy(), ROWS[rows, columns])
    assert [part.tensor.reads for part in tensor.parts] == read


def test_a_section_that_is_there_can_be_read_though_others_are_missing():
    tensor = partitioned(THREE[1])
    assert np.array_equal(tensor.section("part", (3, 0), (2, 4)).numpy(), ROWS[3:5])
    with pytest.raises(CorruptError, match="8 of its 28"):
        tensor.section("part", (3, 0), (3, 4)).numpy()


def test_missing_and_overlapping_slices():
    assert not partitioned(*THREE[:2]).is_complete
    with pytest.raises(CorruptError, match="20 of its 28"):
        list(partitioned(*THREE[:2]).chunks())
    overlapping = partitioned((slice(0, 3), FULL), (slice(2, 4), FULL), (slice(5, 7), FULL))
    with pytest.raises(CorruptError, match="overlap"):
        overlapping.numpy()


def test_incomplete_tensors_are_one_notice():
    tensors = {"a": partitioned(*THREE), "b": partitioned(THREE[0]), "c": ArrayTensor(ROWS)}
    (notice,) = incomplete(tensors)
    assert isinstance(notice, TensorsIncomplete)
    assert notice.names == ("t (12 of 28 elements: [0:3, 0:4])",)
    assert incomplete({"a": tensors["a"]}) == []
    assert partitioned(THREE[0]).nbytes == 12 * 4


def test_what_is_left_out_is_counted_and_said_slice_by_slice():
    tiles = [(slice(row, row + 1), slice(0, 1)) for row in range(7)]
    (notice,) = left_out({"a": partitioned(*tiles), "b": partitioned()}, "npz")
    assert notice.detail.startswith("2 tensors left out of npz")
    assert notice.names == (
        "t (7 of 28 elements: [0:1, 0:1], [1:2, 0:1], [2:3, 0:1], [3:4, 0:1] and 3 more)",
        "t (0 of 28 elements: none)",
    )


def test_which_tensors_lack_slices():
    tensors = {"a": partitioned(*THREE), "b": partitioned(THREE[0]), "c": ArrayTensor(ROWS), "d": partitioned()}
    assert list(lacking(tensors)) == ["b", "d"]
    assert list(lacking(tensors, keeps_parts=True)) == ["d"]


def test_a_tensor_that_is_made_of_the_slices_of_others_is_among_them():
    parts = [partitioned(box) for box in THREE]
    joined = PartitionedTensor("t", FLOAT32, (7, 4), [tensor.parts[0] for tensor in parts])
    assert is_among(joined, identities(parts))
    assert is_among(parts[0], identities(parts))
    assert not is_among(joined, identities(parts[:2]))
    assert not is_among(partitioned(), identities(parts))
