"""HDF5 files are told by their signature, wherever it may be."""

import pytest

from panmodel.io.source import MemorySource
from panmodel.wire.hdf5_signature import SIGNATURE, is_hdf5, signature_place


@pytest.mark.parametrize("place", [0, 512, 1024, 4096])
def test_the_signature_is_found_behind_a_user_block(place):
    data = bytes(place) + SIGNATURE + b"rest"
    assert is_hdf5(data) and is_hdf5(MemorySource(data))
    assert signature_place(data) == place


@pytest.mark.parametrize("data", [b"", b"\x89HDF", b"PK\x03\x04" * 500, bytes(100) + SIGNATURE, bytes(700) + SIGNATURE])
def test_other_files_are_none(data):
    assert not is_hdf5(data) and not is_hdf5(MemorySource(data))
    assert signature_place(data) is None
