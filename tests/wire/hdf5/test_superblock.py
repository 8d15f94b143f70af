import struct

import pytest
from tests.wire.hdf5.handmade import UNDEFINED, small_file

from panmodel.errors import CorruptError, TruncatedError, UnsupportedError
from panmodel.io.source import MemorySource
from panmodel.wire.hdf5.superblock import read_superblock
from panmodel.wire.hdf5_signature import SIGNATURE


@pytest.mark.parametrize("user_block", [0, 512, 1024, 4096])
def test_the_signature_is_found_behind_a_user_block(user_block):
    data = bytes(user_block) + small_file()
    assert read_superblock(MemorySource(data)).file.base == user_block


@pytest.mark.parametrize("data", [b"", b"\x89HDF", b"PK\x03\x04" * 500, bytes(100) + SIGNATURE, bytes(700) + SIGNATURE])
def test_other_files_are_none(data):
    with pytest.raises(CorruptError, match="no HDF5 signature"):
        read_superblock(MemorySource(data))


def test_a_shorter_file_than_it_says_is_truncated():
    with pytest.raises(TruncatedError, match=r"the file has \d+ bytes, its superblock says \d+"):
        read_superblock(MemorySource(small_file()[:-1]))


def test_a_longer_file_than_it_says_is_read():
    assert read_superblock(MemorySource(small_file() + b"more")).root


@pytest.mark.parametrize("place", [8, 9, 12, 30, 44])
def test_its_checksum_is_verified(place):
    data = bytearray(small_file())
    data[place] ^= 0x10
    with pytest.raises(CorruptError):
        read_superblock(MemorySource(bytes(data)))


def old(version, *, offset_size=8, driver=UNDEFINED):
    front = SIGNATURE + bytes([version, 0, 0, 0, 0, offset_size, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
    front += bytes(4) if version == 1 else b""
    return front + struct.pack("<Q", 0) + UNDEFINED + struct.pack("<Q", 100) + driver + struct.pack("<QQ", 0, 96)


@pytest.mark.parametrize("version", [0, 1])
def test_old_versions(version):
    found = read_superblock(MemorySource(old(version).ljust(200, b"\0")))
    assert (found.root, found.extension, found.file.offset_size) == (96, None, 8)


def test_data_in_several_files_are_refused():
    with pytest.raises(UnsupportedError, match="several files"):
        read_superblock(MemorySource(old(0, driver=struct.pack("<Q", 90)).ljust(200, b"\0")))


def test_odd_widths_are_refused():
    with pytest.raises(CorruptError, match="addresses of 3"):
        read_superblock(MemorySource(old(0, offset_size=3).ljust(200, b"\0")))
