import io
import pickle
import random
import struct
import subprocess
import sys
import textwrap
import time
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

SYSTEM = b"cposix\nsystem\n(S'true'\ntR"


class Calls:
    """Pickles as a call of anything by name, which needs not be there."""

    def __init__(self, function, *args):
        self.made = (function, args)

    def __reduce__(self):
        return self.made


def stacked(module, name, args=b")"):
    """A call through STACK_GLOBAL."""
    text = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + text + b"\x93" + args + b"R."


def archive(data, name="archive/data.pkl", method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped:
        zipped.writestr(name, data)
    return file.getvalue()


def zipped_pickles(**pickles):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, data in pickles.items():
            zipped.writestr(f"archive/{name}.pkl", data)
    return file.getvalue()


HOSTILE = {
    "protocol 0": SYSTEM + b".",
    "protocol 2": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
    "stack global": stacked("posix", "system", b"\x8c\x04true\x85"),
    "inst": b"(S'true'\niposix\nsystem\n.",
    "obj": b"(cposix\nsystem\nS'true'\no.",
    "newobj": b"\x80\x02csubprocess\nPopen\n)\x81.",
    "newobj with state": b"\x80\x02csubprocess\nPopen\n)\x81}X\x01\x00\x00\x00aK\x01sb.",
    "function as a class": b"\x80\x02ctorch.nn.functional\nrelu\nX\x01\x00\x00\x00a\x85\x81.",
    "popped": SYSTEM + b"0N.",
    "memo": b"cposix\nsystem\np0\n0g0\n(S'true'\ntR.",
    "import alone": b"cantigravity\nfly\n.",
    "harmless function alone": b"\x80\x02cbuiltins\nprint\n.",
    "what has __del__": b"\x80\x02ctorch.utils.data.dataloader\n_MultiProcessingDataLoaderIter\n)\x81}S'a'\nNsb.",
    "layer's class alone": b"\x80\x02ctorch.nn.modules.linear\nLinear\n.",
    "broken after the call": SYSTEM + b"\xff\xff",
    "cut after the call": SYSTEM,
    "second pickle": b"\x80\x02N." + SYSTEM + b".",
    "between raw numbers": b"\x80\x02N." + bytes(64) + b"\x80\x02" + SYSTEM + b"." + bytes(8),
    "getattr chain": b"cbuiltins\ngetattr\n(cposix\nsystem\nS'__call__'\ntR.",
    "dotted name": stacked("torch.nn.modules.module", "torch.hub.load"),
    "extension": b"\x80\x02\x82\x01.",
    "extension without a mark": b"\x82\x01(S'true'\ntR.",
    "extensions in a list": b"(\x83\x01\x00\x84\x01\x00\x00\x00l.",
    "extension and more": b"\x82\x01" + SYSTEM + b".",
    "module of the rebuilt tensor": b"\x80\x02ctorch._utils\n_import_dotted_name\nX\x02\x00\x00\x00os\x85R.",
    "factory": b"\x80\x02ccollections\ndefaultdict\ncposix\nsystem\n\x85R.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 60) + stacked("posix", "system", b"\x8c\x04true\x85")[2:] + bytes(40),
    "nested bytes": pickle.dumps({"inner": pickle.dumps(Calls(subprocess.Popen, "true"))}),
    "nested in latin1 text": pickle.dumps({"inner": pickle.dumps(Calls(subprocess.Popen, "true"))}, protocol=2),
    "in a zip": archive(SYSTEM + b"."),
    "in a zip under another name": archive(SYSTEM + b".", "notes.txt"),
    "deflated": archive(SYSTEM + b".", method=zipfile.ZIP_DEFLATED),
    "zip in a zip": archive(archive(SYSTEM + b"."), "inner.pt"),
    "layer that is called": b"\x80\x02ctorch.nn.modules.linear\nLinear\nK\x02K\x02\x86R.",
    "octal integer": b"I010\n0" + SYSTEM + b".",
    "item of a list": b"(NlI0\nNs0" + SYSTEM + b".",
    "state of a list": b"(lNb0" + SYSTEM + b".",
    "long key": b"((" + b"N" * 300 + b"tNd0" + SYSTEM + b".",
    "blank behind a string": b"S'x' \n0" + SYSTEM + b".",
    "behind five million bytes": b"S'" + b"a" * 5_000_000 + b"'\n0" + SYSTEM + b".",
    "arguments in a list": b"ctorch.hub\nload\n(S'x'\nlR.",
    "line without an end": b"cantigravity\nflyx",
    "state of a module": b"\x80\x02ctorch.nn.functional\ntorch\n}X\x04\x00\x00\x00loadK\x01sb.",
    "attributes of an allowed class": b"\x80\x02ctorch\nTensor\nN}X\x01\x00\x00\x00aK\x01s\x86b.",
    "attribute of a function of TorchScript": zipped_pickles(
        data=stacked("torch.jit._pickle", "build_intlist.__builtins__.__getitem__", b"\x8c\x04eval\x85"),
        constants=b"\x80\x02).",
    ),
    "picture too": b"GIF89a\0\0\0(NlI0\nNs0" + SYSTEM + b".;",
    "function that a generator calls": b"\x80\x02cnumpy.random._pickle\n__generator_ctor\n"
    b"X\x01\x00\x00\x00actorch.nn.functional\nrelu\n\x86R.",
    "class of the standard library": b"\x80\x02clogging.handlers\nSocketHandler\n)\x81}X\x08\x00\x00\x00_modules}sb.",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", ["model.pkl", "weights.safetensors", "picture.png", "README"])
def test_what_would_execute_is_dangerous_whatever_it_is_called(tmp_path, kind, name):
    found = scan_bytes(tmp_path, HOSTILE[kind], name)
    assert found.verdict is DANGEROUS
    assert rules_of(found) & {"PM-PICKLE-GLOBAL", "PM-PICKLE-NESTED", "PM-PICKLE-EXTENSION"}


@pytest.mark.parametrize("opcode", [0x82, 0x83, 0x84])
def test_raw_numbers_that_begin_like_an_extension_are_no_pickle(tmp_path, opcode):
    found = scan_bytes(tmp_path, bytes([opcode]) + bytes.fromhex("c1753d6c1b123f61e10c3ff12f363fd6b11a3f"), "raw.bin")
    assert found.verdict is not DANGEROUS


def test_findings_say_name_and_place(tmp_path):
    (finding,) = scan_bytes(tmp_path, HOSTILE["protocol 2"]).files[0].findings
    assert (finding.message, finding.offset) == ("calls posix.system", 16)
    (finding,) = scan_bytes(tmp_path, HOSTILE["zip in a zip"]).files[0].findings
    assert finding.member == "inner.pt » archive/data.pkl"


BENIGN = {
    "plain values": {"a": [1, 2.5, None, True, (1, "x")], "b": {"c": b"bytes", "d": {1, 2}}},
    "ordered": OrderedDict(a=1),
    "factory": defaultdict(list, a=[1]),
    "array": {"w": np.arange(6.0).reshape(2, 3), "s": np.float32(2)},
    "random states": [np.random.RandomState(0), np.random.default_rng(0), np.random.Generator(np.random.SFC64(1))],
    "inner pickle of plain values": {"inner": pickle.dumps({"a": np.zeros(2)})},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", BENIGN)
def test_plain_values_are_clean(tmp_path, kind, protocol):
    assert scan_bytes(tmp_path, pickle.dumps(BENIGN[kind], protocol=protocol)).verdict is CLEAN


def test_a_class_of_its_author_is_undecided(tmp_path):
    data = b"\x80\x02cmodels.net\nNet\n)\x81}X\x08\x00\x00\x00_modules}sb."
    found = scan_bytes(tmp_path, data)
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-PICKLE-CLASS"})


PARTIAL = b"cfunctools\npartial\nctorch.nn.modules.linear\nLinear\n\x85R"
CONFIG = b"cmy.config\nConfig\n"
TENSOR = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.mark.parametrize(
    "data",
    [
        CONFIG,  # mentioned: loading imports its module
        CONFIG + b")\x81}b",
        CONFIG + b"K\x01\x85\x81",  # a named tuple
        CONFIG + b")\x81X\x01\x00\x00\x00aK\x01s",  # a subclass of dict
        CONFIG + b")R}b",  # a subclass of SimpleNamespace
        TENSOR + CONFIG + b")}tR",  # of Tensor
        CONFIG + b"K\x01\x85R",  # members of enumerations
        CONFIG + b"X\x03\x00\x00\x00red\x85R",
        b"(K\x01imy.config\nConfig\n",
        b"cbuiltins\ngetattr\n(" + CONFIG + b"X\x03\x00\x00\x00redtR",
        b"cmy.config\nrun\n",
        PARTIAL,
        PARTIAL + b"(ctorch.nn.modules.linear\nLinear\n)}Ntb",
        b"c__builtin__\ngetattr\n(ctorch._C\n_VariableFunctionsClass\nX\x04\x00\x00\x00relutR",
        b"c_operator\ngetitem\n(ctyping\nUnion\n(ctyping\nList\nc__builtin__\ntype\nN\x85RttR",
    ],
)
def test_other_classes_than_layers_are_undecided(tmp_path, data):
    found = scan_bytes(tmp_path, b"\x80\x04" + data + b".")
    assert found.verdict is UNDECIDED and rules_of(found) == {"PM-PICKLE-CLASS"}


@pytest.mark.parametrize(
    "data",
    [
        CONFIG + b"K\x01K\x02\x86R",
        CONFIG + b"X\x07\x00\x00\x00rm -r /\x85R",
        CONFIG + b"X\x07\x00\x00\x00a.b.c()\x85R",
        CONFIG + b"]\x85R",
        CONFIG + b")\x81)R",
        CONFIG + b"K\x01\x85R)R",
        b"(X\x02\x00\x00\x00a imy.config\nConfig\n",
        b"csympy.functions\nAbs\nX\x01\x00\x00\x00x\x85\x81",
        PARTIAL + b")R",
        PARTIAL + b"(cos\nsystem\n)}Ntb",
        PARTIAL + b"cfunctools\npartial\n)\x81",
        PARTIAL.replace(b"torch.nn.modules.linear\nLinear", b"os\nsystem"),
        b"cbuiltins\ngetattr\n(" + CONFIG + b"X\x03\x00\x00\x00redtR)R",
        b"cbuiltins\ngetattr\n(" + CONFIG + b"X\x03\x00\x00\x00redtR)\x81",
        b"cbuiltins\ngetattr\n(" + CONFIG + b"X\x03\x00\x00\x00redtRX\x01\x00\x00\x00aK\x01s",
        b"cbuiltins\ngetattr\n(" + CONFIG + b"X\x05\x00\x00\x00__a__tR",
        b"c__builtin__\ngetattr\n(ctorch._C\n_VariableFunctionsClass\nX\x04\x00\x00\x00loadtR",
        b"cnumpy.random._pickle\n__generator_ctor\n(K\x01" + PARTIAL + b"tR",
        b"cnumpy.random._pickle\n__generator_ctor\n(K\x01ctorch.nn.functional\nrelu\ntR",
        b"cnumpy.random._pickle\n__generator_ctor\n(K\x01cmy.config\nrun\ntR",
        TENSOR.replace(b"torch._utils\n_rebuild_tensor_v2", b"my.config\nConfig") + CONFIG + b")}tR",
        b"cnumpy.random._pickle\n__generator_ctor\n(K\x01" + CONFIG + b"tR",
        b"ctorch.storage\n_load_from_bytes\n" + CONFIG + b")\x81\x85R",
        b"cmy.config\nrun\n)R",
    ],
)
def test_classes_that_are_called_with_something_are_dangerous(tmp_path, data):
    assert scan_bytes(tmp_path, b"\x80\x04" + data + b".").verdict is DANGEROUS


def test_long_lines_are_text_unless_they_may_lead_to_something(tmp_path):
    assert scan_bytes(tmp_path, b"column," * 20_000 + b"\n1,2\n").verdict is CLEAN
    assert scan_bytes(tmp_path, b"cos\n" + b"path.os." * 20_000 + b"system\n(S'x'\ntR.").verdict is UNDECIDED


@pytest.mark.parametrize("code", [b"C%c%b", b"U%c%b"])
def test_files_that_a_pickle_loads_are_looked_into(tmp_path, code):
    numbers = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}, 7, [])]
    clean, hostile = b"".join(numbers), b"".join([*numbers[:3], b"\x80\x02" + SYSTEM + b".", numbers[4]])
    for inner, verdict in (
        (clean, CLEAN),
        (hostile, DANGEROUS),
        (b"\xfe\xff\0", DANGEROUS),
        (b"plain text", DANGEROUS),
    ):
        data = b"\x80\x02ctorch.storage\n_load_from_bytes\n" + code % (len(inner), inner) + b"\x85R."
        assert scan_bytes(tmp_path, data).verdict is verdict


def test_layers_of_pytorch_are_clean(tmp_path):
    data = b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}X\x08\x00\x00\x00_modules}sb."
    assert scan_bytes(tmp_path, data).verdict is CLEAN


@pytest.mark.parametrize("data", [b"\x80\x02}X\xff\x00", b"\x80\x04\x95", b"\x80\x02K\x01.garbage", b"\x80\x02\xff"])
def test_broken_pickles_are_undecided(tmp_path, data):
    assert scan_bytes(tmp_path, data).verdict is UNDECIDED


SLOW = {
    "pickles that begin everywhere": b"\x80\x02K\x01.junk" + (b"\x80\x02" + b"N0" * 100) * 20_000,
    "the same inner pickle again and again": b"\x80\x04B"
    + struct.pack("<I", 1 << 20)
    + (b"\x80\x02" + b"N0" * ((1 << 19) - 2) + b"N.")
    + b"q\x000"
    + b"h\x000" * 20_000
    + b"N.",
    "text of a great many opcodes": b"N0" * 3_500_000 + SYSTEM,
}


@pytest.mark.parametrize("kind", SLOW)
def test_the_opcodes_of_a_file_are_bounded(tmp_path, kind):
    begin = time.process_time()
    found = scan_bytes(tmp_path, SLOW[kind])
    assert time.process_time() - begin < 40
    assert found.verdict is (CLEAN if "again" in kind else UNDECIDED)


@pytest.mark.parametrize("length", [128, 640, 896, 1152, 0x10280, 0x50480])
def test_the_length_of_a_header_is_no_pickle(tmp_path, length):
    header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    data = struct.pack("<Q", length) + header.ljust(length) + b"\0"
    assert scan_bytes(tmp_path, data).verdict is CLEAN


def test_labels_are_no_pickle(tmp_path):
    assert scan_bytes(tmp_path, b"cat\ndog\nbird\nfish\n", "labels.txt").verdict is CLEAN


@pytest.mark.parametrize("kind", ["protocol 2", "stack global", "newobj", "in a zip", "deflated"])
def test_a_flipped_bit_never_makes_it_clean(tmp_path, kind):
    whole, chance = HOSTILE[kind], random.Random(0)
    places = range(len(whole) * 8) if len(whole) < 60 else chance.sample(range(len(whole) * 8), 300)
    for place in places:
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        assert scan_bytes(tmp_path, bytes(data)).verdict is not CLEAN, (place, bytes(data))


@given(data=st.binary(min_size=1, max_size=300))
def test_random_bytes_are_never_clean_unless_they_are_text(tmp_path_factory, data):
    found = scan_bytes(tmp_path_factory.mktemp("random"), data)
    inert = found.files[0].kinds
    assert found.verdict is not CLEAN or "text" in inert or inert == ("pickle",)


HELD_OUT = """
    import importlib, inspect, json, os, pkgutil, sys, warnings
    warnings.simplefilter("ignore")
    found = []
    def collect(name):
        try:
            module = importlib.import_module(name)
        except BaseException:
            return
        for key, value in list(vars(module).items()):
            if callable(value) and not key.startswith("__") and key.isascii():
                found.append((name, key))
    skip = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "lib2to3", "test", "__main__"}
    for name in sorted(sys.stdlib_module_names - skip):
        collect(name)
    import numpy
    for info in pkgutil.iter_modules(numpy.__path__):
        if not info.name.startswith(("tests", "conftest", "f2py")):
            collect(f"numpy.{info.name}")
    json.dump(sorted(set(found)), sys.stdout)
"""


@pytest.fixture(scope="module")
def callables():
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(HELD_OUT)], capture_output=True, text=True, check=True)
    import json

    return [tuple(pair) for pair in json.loads(done.stdout[done.stdout.index("[[") :])]


def test_every_public_callable_is_refused_and_none_executes(tmp_path, callables):
    """Held-out gadgets: nobody listed these names as bad, and nothing of them is imported, called or even looked up."""
    from panmodel.scanners.pickle_names import is_allowed
    from panmodel.wire.pickle import Global

    canary = tmp_path / "canary"
    names = [pair for pair in callables if not is_allowed(Global(*pair))]
    assert len(names) > 4000
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    argument = b"X" + struct.pack("<I", len(str(canary))) + str(canary).encode() + b"\x85"
    for number, (module, name) in enumerate(names):
        call = b"\x80\x02c" + f"{module}\n{name}\n".encode() + argument + b"R."
        (pieces / f"{number}.pkl").write_bytes(call)
    code = f"""
        import os, sys
        from panmodel.scan import scan
        scan({str(pieces / "0.pkl")!r})
        events, before = [], set(sys.modules)
        def hook(event, args):
            if event in ("exec", "compile", "import", "os.system", "subprocess.Popen", "os.exec", "socket.connect"):
                events.append((event, str(args)[:200]))
            if event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                events.append((event, str(args)[:200]))
        sys.addaudithook(hook)
        found = scan({str(pieces)!r})
        told = [file.path for file in found.files if file.verdict.value != "dangerous"]
        print(len(found.files), told[:5], events[:5], sorted(set(sys.modules) - before)[:5])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout.strip() == f"{len(names)} [] [] []", done.stderr
    assert not canary.exists()


def test_what_follows_the_storages_of_a_legacy_file_is_undecided(tmp_path):
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    whole = head + pickle.dumps({"a": 1}, 2) + pickle.dumps([], 2)
    assert scan_bytes(tmp_path, whole, "a.pt").verdict is CLEAN
    found = scan_bytes(tmp_path, whole + SYSTEM + b".", "a.pt")
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-PICKLE-TRAILING"})
