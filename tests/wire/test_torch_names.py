from __future__ import annotations

import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError
from panmodel.limits import DEFAULT
from panmodel.wire.pickle import Dictionary, Global, Object
from panmodel.wire.torch_names import AllowList
from panmodel.wire.torch_records import PlainValue, Sizes, StorageBytes, StorageRecord, TensorRecord, TorchValue

_DICTIONARIES: dict[str, tuple[object, ...]] = {
    "OrderedDict": ([("a", 2)],),
    "Counter": ({"a": 2},),
    "defaultdict": (Global("builtins", "int"), {"a": 2}),
}
STORAGE = StorageRecord("0", dtypes.FLOAT32, "cpu", 48, StorageBytes(48))


def made(module: str, name: str, *args: object, nbytes: int = 1000) -> object:
    constructor = AllowList("a.pt", nbytes).known[Global(module, name)]
    assert constructor is not None
    return constructor(args)


def test_the_last_element_must_lie_in_the_storage() -> None:
    fits = made("torch._utils", "_rebuild_tensor", STORAGE, 3, (3, 3), (3, 1))
    assert isinstance(fits, TensorRecord)
    with pytest.raises(CorruptError, match="reaches beyond the 12 elements"):
        made("torch._utils", "_rebuild_tensor", STORAGE, 4, (3, 3), (3, 1))


def test_plain_values_are_made_of_plain_values() -> None:
    assert made("torch", "device", "cuda", 1) == TorchValue("device", "cuda:1")
    assert made("torch", "device", "npu:0") == PlainValue("torch.device", "npu:0")
    assert isinstance(made("torch", "Size", (2, 3)), Sizes)
    assert made("_codecs", "encode", "\u00e9", "latin1") == b"\xe9"
    assert made("__builtin__", "complex", 1.0, -2.0) == 1 - 2j
    assert made("builtins", "bytearray", b"ab") == bytearray(b"ab")
    assert made("collections", "OrderedDict", [["a", 1]]) == {"a": 1}
    kinds = {name: made("collections", name, *args) for name, args in _DICTIONARIES.items()}
    assert all(isinstance(item, Dictionary) and (item, item.kind) == ({"a": 2}, name) for name, item in kinds.items())


@pytest.mark.parametrize(
    ("code", "data", "value"), [("f4", b"\0\0\xc0\x3f", 1.5), ("i8", b"\xff" * 8, -1), ("b1", b"\1", True)]
)
def test_numpy_scalars_are_numbers(code: str, data: bytes, value: object) -> None:
    dtype = Object(Global("numpy", "dtype"), (code, False, True))
    assert made("numpy.core.multiarray", "scalar", dtype, data) == value
    dtype.states.append((3, ">", None))
    assert made("numpy._core.multiarray", "scalar", dtype, data[::-1]) == value


def test_numpy_scalars_of_objects_stay_inert() -> None:
    args = Object(Global("numpy", "dtype"), ("O8",)), b""
    found = made("numpy.core.multiarray", "scalar", *args)
    assert isinstance(found, Object) and found.args == args


def test_versions_of_torch_are_text() -> None:
    assert made("torch.torch_version", "TorchVersion", "2.13.0+cpu") == "2.13.0+cpu"
    with pytest.raises(CorruptError, match="version of torch"):
        made("torch.torch_version", "TorchVersion", 2)


def test_what_functions_of_the_list_would_call_is_noted() -> None:
    strange = Global("os", "system")
    for module, name, args in (
        ("torch._tensor", "_rebuild_from_type_v2", (strange, Global("a", "B"), (), {})),
        ("numpy.random._pickle", "__generator_ctor", ("PCG64", strange)),
        ("numpy.random._pickle", "__bit_generator_ctor", (Object(strange),)),
        ("copyreg", "_reconstructor", (Global("a", "B"), strange, 1)),
    ):
        constructor = AllowList("a.pt", 0)
        make = constructor.known[Global(module, name)]
        assert make is not None and not constructor.passed
        make(args)
        assert constructor.passed == {strange}


def test_copies_are_in_proportion_to_the_pickle() -> None:
    many = list(range(DEFAULT.message_bytes))
    with pytest.raises(LimitError, match="copies its own contents"):
        made("builtins", "set", [*many, 1], nbytes=0)
    assert len(made("builtins", "set", [*many, 1], nbytes=1)) == len(many) + 1  # type: ignore[arg-type]


def test_nothing_that_acts_is_on_the_list() -> None:
    names = AllowList("a.pt", 0).known
    modules = {name.module for name in names}
    assert {module for module in modules if module.partition(".")[0] not in ("torch", "numpy")} == {
        "collections", "_codecs", "builtins", "__builtin__", "copyreg", "copy_reg", "datetime", "decimal", "fractions",
        "pathlib", "pathlib._local", "argparse", "types", "typing", "uuid", "ml_dtypes",
    }  # fmt: skip
    for name in ("eval", "exec", "getattr", "__import__", "open", "type", "map", "compile", "setattr"):
        assert Global("builtins", name) not in names
