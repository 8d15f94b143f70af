import json
import struct

from tests.scanned import CLEAN, UNDECIDED, scan_bytes


def file(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin, end):
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


def test_exact_files_are_clean(tmp_path):
    assert scan_bytes(tmp_path, file({"a": entry(0, 4), "__metadata__": {"x": "import os"}}, bytes(4))).verdict is CLEAN


def test_gaps_overlaps_and_bytes_behind_are_undecided(tmp_path):
    for header, data in (
        ({"a": entry(0, 4)}, bytes(5)),
        ({"a": entry(0, 4)}, bytes(3)),
        ({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)),
    ):
        assert scan_bytes(tmp_path, file(header, data)).verdict is UNDECIDED
