import numpy as np
import pytest
from tests.checkpoints import FIXTURES
from tests.slice_tables import SliceTable

from panmodel.errors import CorruptError
from panmodel.io.source import FileSource, MemorySource
from panmodel.wire.saved_tensor_slices import is_slices_table
from panmodel.wire.sstable import encode_table


def table(*entries):
    return MemorySource(b"".join(encode_table(entries)))


@pytest.mark.parametrize("name", ["v1.ckpt", "v1s.ckpt-00000-of-00003"])
def test_files_of_tensorflow(name):
    assert is_slices_table(FileSource(FIXTURES / name))


def test_files_of_ours(tmp_path):
    assert is_slices_table(FileSource(SliceTable().add("a", np.ones(1, np.float32)).write(tmp_path / "a")))


def test_tables_of_other_things():
    assert not is_slices_table(FileSource(FIXTURES / "trained.ckpt.index"))
    assert not is_slices_table(table((b"key", b"value")))
    assert not is_slices_table(table((b"", b"")))


def test_damage():
    with pytest.raises(CorruptError):
        is_slices_table(table((b"", b"\x0a\x7f")))
