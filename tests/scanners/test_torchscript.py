import io
import pickle
import zipfile

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

from panmodel.scanners.torchscript import is_torchscript


def program(text, pickled=None):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("m/data.pkl", pickled or b"\x80\x02c__torch__\nNet\n)\x81}X\x01\x00\x00\x00wK\x01sb.")
        zipped.writestr("m/constants.pkl", pickle.dumps((), 2))
        zipped.writestr("m/code/__torch__.py", f"def forward(self, x: Tensor) -> Tensor:\n  {text}\n")
        zipped.writestr("m/version", "3\n")
    return file.getvalue()


def test_programs_of_tensors_get_a_note(tmp_path):
    found = scan_bytes(tmp_path, program("return torch.add(x, ops.quantized.relu6(x))"))
    assert (found.verdict, rules_of(found)) == (CLEAN, {"PM-TORCHSCRIPT"})


@pytest.mark.parametrize("text", ["torch.save(x, 'a')", "return torch.from_file('/etc/passwd', False, 10)"])
def test_files_are_dangerous(tmp_path, text):
    found = scan_bytes(tmp_path, program(text))
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-TORCHSCRIPT-FILE", "PM-TORCHSCRIPT"})


@pytest.mark.parametrize("text", ["return ops.torchvision.nms(x)", "y = __torch__.torch.classes.mine.Thing()"])
def test_foreign_libraries_are_undecided(tmp_path, text):
    found = scan_bytes(tmp_path, program(text))
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-TORCHSCRIPT-CUSTOM-OP", "PM-TORCHSCRIPT"})


def test_its_pickles_are_looked_at(tmp_path):
    assert scan_bytes(tmp_path, program("return x", b"cposix\nsystem\n(S'true'\ntR.")).verdict is DANGEROUS


def test_classes_of_torchscript_are_foreign_elsewhere(tmp_path):
    data = b"\x80\x02c__torch__\nNet\n)\x81}X\x01\x00\x00\x00wK\x01sb."
    assert scan_bytes(tmp_path, data).verdict is DANGEROUS


def test_it_is_told_by_its_members():
    assert is_torchscript(["m/data.pkl", "m/constants.pkl"])
    assert not is_torchscript(["m/data.pkl", "m/data/0"])
