import struct
import zlib

from tests.scanned import CLEAN, UNDECIDED, scan_bytes


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + chunk(b"IEND", b"")


def test_pictures_are_clean(tmp_path):
    assert scan_bytes(tmp_path, PNG).verdict is CLEAN


def test_what_is_hidden_behind_a_picture_is_undecided(tmp_path):
    assert scan_bytes(tmp_path, PNG + b"\x01\x02").verdict is UNDECIDED
