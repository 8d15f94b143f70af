import pytest
from tests.scanned import DANGEROUS, rules_of, scan_bytes

WINDOWS = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(20)


@pytest.mark.parametrize(
    "data", [b"\x7fELF" + bytes(60), b"\xcf\xfa\xed\xfe" + bytes(60), b"\0asm" + bytes(8), WINDOWS]
)
def test_programs_are_dangerous(tmp_path, data):
    found = scan_bytes(tmp_path, data, "model.bin")
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-NATIVE-CODE"})
