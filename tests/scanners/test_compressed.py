import bz2
import gzip
import lzma
import zlib

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

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
