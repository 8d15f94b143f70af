import bz2
import gzip
import lzma
import zlib

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

from panmodel.scan import scan

PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress}
PICKLE = b"cposix\nsystem\n(S'true'\ntR."


@pytest.mark.parametrize("kind", PACK)
def test_what_is_packed_is_looked_at(tmp_path, kind):
    found = scan_bytes(tmp_path, PACK[kind](PICKLE))
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-PICKLE-GLOBAL"})
    assert scan_bytes(tmp_path, PACK[kind](b"nothing but text")).verdict is CLEAN


@pytest.mark.parametrize("kind", PACK)
def test_what_is_cut_is_undecided(tmp_path, kind):
    assert scan_bytes(tmp_path, PACK[kind](b"nothing but text" * 100)[:-6]).verdict is UNDECIDED


def test_a_bomb_is_undecided(tmp_path):
    assert "PM-COMPRESSED-EXPANDS" in rules_of(scan_bytes(tmp_path, bz2.compress(bytes(300_000_000))))


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_streams_behind_each_other_are_one_file(tmp_path, kind):
    data = PACK[kind](b"N") + PACK[kind](b"") + PACK[kind](b"0" + PICKLE)
    assert scan_bytes(tmp_path, data).verdict is DANGEROUS


@pytest.mark.parametrize("padding", range(65536 - 40, 65536 + 4, 5))
def test_a_further_stream_begins_anywhere(tmp_path, padding):
    first = gzip.compress(b"S'" + bytes(33 + place % 5 for place in range(padding)) + b"'\n0", compresslevel=0)
    assert scan_bytes(tmp_path, first + gzip.compress(PICKLE)).verdict is DANGEROUS


@pytest.mark.parametrize("rest", [PICKLE, b"x"])
def test_what_follows_is_not_passed_over(tmp_path, rest):
    assert scan_bytes(tmp_path, gzip.compress(b"text") + rest).verdict is UNDECIDED
    assert scan_bytes(tmp_path, gzip.compress(b"text") + bytes(20)).verdict is CLEAN


@pytest.mark.parametrize("magic", [b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"])
def test_what_is_not_unpacked_is_not_taken_for_raw_numbers(tmp_path, magic):
    from panmodel.wire.onnx_messages import EXTERNAL, GraphProto, ModelProto, StringStringEntryProto, TensorProto
    from panmodel.wire.protobuf import encode

    place = StringStringEntryProto(key="location", value="w.bin")
    tensor = TensorProto(name="w", data_type=1, dims=[1], data_location=EXTERNAL, external_data=[place])
    model = ModelProto(ir_version=8, graph=GraphProto(initializer=[tensor]))
    (tmp_path / "model.onnx").write_bytes(b"".join(bytes(piece) for piece in encode(model)))
    (tmp_path / "w.bin").write_bytes(bytes(4))
    assert scan(tmp_path).verdict is CLEAN
    (tmp_path / "w.bin").write_bytes(magic + bytes(40))
    assert scan(tmp_path).verdict is UNDECIDED
