from tests.scanned import CLEAN, UNDECIDED, scan_bytes
from tests.wire.test_tfrecord import tfrecord


def test_records_are_clean(tmp_path):
    found = scan_bytes(tmp_path, tfrecord(b"\x1a\x0dbrain.Event:2", b"posix\nsystem"), "events.out.tfevents.1")
    assert found.verdict is CLEAN


def test_damage_is_undecided(tmp_path):
    data = tfrecord(b"one", b"two")
    for damaged in (data[:-1], data[:-6] + b"!" + data[-5:], data + b"more"):
        assert scan_bytes(tmp_path, damaged).verdict is UNDECIDED
