import io

import numpy as np
import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes


class Calls:
    def __reduce__(self):
        return (eval, ("1",))


def saved(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def objects(value):
    array = np.empty(1, object)
    array[0] = value
    return array


def test_numbers_are_clean(tmp_path):
    assert scan_bytes(tmp_path, saved(np.arange(5.0))).verdict is CLEAN
    assert scan_bytes(tmp_path, saved(np.zeros(2, [("a", "<f4"), ("b", "<i8", (2,))]))).verdict is CLEAN


def test_plain_objects_get_a_note(tmp_path):
    found = scan_bytes(tmp_path, saved(objects({"a": 1})))
    assert (found.verdict, rules_of(found)) == (CLEAN, {"PM-NUMPY-OBJECTS"})


@pytest.mark.parametrize("array", [objects(Calls()), np.array([(1, Calls())], [("a", "<i4"), ("b", "O")])])
def test_pickled_objects_are_looked_at(tmp_path, array):
    assert scan_bytes(tmp_path, saved(array)).verdict is DANGEROUS


def with_descr(descr, body):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize("descr", ["'object'", "'object_'", "{('a', 'O')}", "{('a', 'O'): 1}", "[('a', 'object')]"])
def test_objects_have_many_spellings(tmp_path, descr):
    assert scan_bytes(tmp_path, with_descr(descr, b"cposix\nsystem\n(S'true'\ntR.")).verdict is DANGEROUS


def test_what_follows_an_array_is_looked_at(tmp_path):
    number = saved(np.arange(3.0))
    assert scan_bytes(tmp_path, number + number).verdict is CLEAN
    assert scan_bytes(tmp_path, number + saved(objects(Calls()))).verdict is DANGEROUS
    assert scan_bytes(tmp_path, number + b"cposix\nsystem\n(S'true'\ntR.").verdict is DANGEROUS
    assert scan_bytes(tmp_path, number[:-1]).verdict is UNDECIDED


@pytest.mark.parametrize("dtype", ["<M8[25s]", "S3", "U2", "?", "c16", [(("title", "Obs"), "<f4"), ("O", "i2", (2,))]])
def test_names_and_units_are_no_objects(tmp_path, dtype):
    assert scan_bytes(tmp_path, saved(np.zeros(2, dtype))).verdict is CLEAN


def test_a_broken_header_is_undecided(tmp_path):
    data = saved(np.arange(5.0)).replace(b"'descr'", b"'descx'")
    assert scan_bytes(tmp_path, data).verdict is UNDECIDED
