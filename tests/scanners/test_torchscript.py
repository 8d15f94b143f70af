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


HIDING = {
    "blanks": "torch . save(x, 'a')",
    "broken line": "torch\\\n.save(x, 'a')",
    "comment": "(torch # comment\n  .save)(x, 'a')",
    "long name": "ops.aten . save (x, 'a')",
    "alias": "a = torch\n  a.save(x, 'a')",
    "alias of a library": "a = ops.aten\n  a.save(x, 'a')",
    "alias of an operator": "a = torch.save\n  a(x, 'a')",
    "getattr": "getattr(torch, 'save')(x, 'a')",
    "behind a string": "y = '#'; torch.save(x, 'a')",
    "behind a quote": 'y = "\\""; torch.save(x, "a")',
    "behind a long string": 'y = """ " """; torch.save(x, "a")',
}


@pytest.mark.parametrize("kind", HIDING)
def test_operators_do_not_hide(tmp_path, kind):
    found = scan_bytes(tmp_path, program(HIDING[kind]))
    assert found.verdict is DANGEROUS
    assert rules_of(found) & {"PM-TORCHSCRIPT-FILE", "PM-TORCHSCRIPT-HIDDEN"}


@pytest.mark.parametrize("kind", ["alias", "getattr", "blanks", "comment"])
def test_pytorch_runs_what_hides(tmp_path, kind):
    torch = pytest.importorskip("torch")
    path, target = tmp_path / "m.pt", tmp_path / "canary"
    torch.jit.script(torch.nn.ReLU()).save(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new.pt", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".py") and b"return" in data:
                text = HIDING[kind].replace("x,", "input,").replace("'a'", repr(str(target))).replace("\n  ", "\n    ")
                data = data.replace(b"    return", f"    {text}\n    return".encode(), 1)
            new.writestr(name, data)
    torch.jit.load(tmp_path / "new.pt")(torch.ones(2))
    assert target.exists()


@pytest.mark.parametrize("text", ["return 'torch and ops'", "# torch\n  return x", "return self.torch", "f(x, ops=x)"])
def test_words_are_no_libraries(tmp_path, text):
    assert scan_bytes(tmp_path, program(text)).verdict is CLEAN


def test_byte_code_and_the_oldest_programs_are_looked_at(tmp_path):
    for name, text in {"bytecode.pkl": pickle.dumps(("aten::save", ""), 2), "model.json": b"{}"}.items():
        file = io.BytesIO(program("return x"))
        with zipfile.ZipFile(file, "a") as zipped:
            zipped.writestr(f"m/{name}", text)
            zipped.writestr("m/code", "torch.save(x, 'a')") if name == "model.json" else None
        found = scan_bytes(tmp_path, file.getvalue())
        assert (found.verdict, "PM-TORCHSCRIPT-FILE" in rules_of(found)) == (DANGEROUS, True)


def test_its_pickles_are_looked_at(tmp_path):
    assert scan_bytes(tmp_path, program("return x", b"cposix\nsystem\n(S'true'\ntR.")).verdict is DANGEROUS


def test_classes_of_torchscript_are_foreign_elsewhere(tmp_path):
    data = b"\x80\x02c__torch__\nNet\n)\x81}X\x01\x00\x00\x00wK\x01sb."
    assert scan_bytes(tmp_path, data).verdict is DANGEROUS


def test_it_is_told_by_its_members():
    assert is_torchscript(["m/data.pkl", "m/constants.pkl"])
    assert not is_torchscript(["m/data.pkl", "m/data/0"])
