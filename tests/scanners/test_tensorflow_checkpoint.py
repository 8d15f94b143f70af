from tests.scanned import CLEAN, UNDECIDED, scan_bytes

from panmodel.scan import scan
from panmodel.wire.sstable import encode_table

HEADER = b"\x08\x01\x1a\x02\x08\x01"
INDEX = b"".join(encode_table([(b"", HEADER)]))


def test_tables_are_clean_and_damaged_ones_undecided(tmp_path):
    assert scan_bytes(tmp_path, INDEX, "model.ckpt.index").verdict is CLEAN
    assert scan_bytes(tmp_path, b"\xff" + INDEX[1:], "other.index").verdict is UNDECIDED


def test_data_files_mean_something_beside_their_index(tmp_path):
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    data.write_bytes(b"\x01\xff\x02\xff")
    assert scan(data).verdict is UNDECIDED
    (tmp_path / "model.ckpt.index").write_bytes(INDEX)
    assert scan(data).verdict is CLEAN
    assert [file.path for file in scan(tmp_path / "model.ckpt").files] == [
        str(data),
        str(tmp_path / "model.ckpt.index"),
    ]


def test_a_pickle_in_the_place_of_data_is_still_seen(tmp_path):
    (tmp_path / "model.ckpt.index").write_bytes(INDEX)
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(b"\x80\x02cposix\nsystem\n(S'true'\ntR.")
    assert scan(tmp_path).exit_code == 1
