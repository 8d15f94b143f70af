"""What goes into a container comes out of it: names, types, shapes and every bit, through one container or several.

What a container cannot hold is refused by name, before anything is written.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import panmodel as pm
from panmodel.dtypes import ALL, FLOAT32, STRING, DType
from panmodel.errors import UnsupportedError
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, Tensor, unpack

#: Quantized integers of torch have a scale, which a tensor does not.
QUANTIZED = {name for name in ALL if name.startswith("q")}


@dataclass(frozen=True)
class Container:
    """How a model is written: under what name, and in shards of what size."""

    target: str
    held: frozenset[str]
    shard_size: int | None = None

    def holds(self, name: str, shape: tuple[int, ...] = (8,)) -> bool:
        """Whether it has the type; safetensors has no tensors that end within a byte."""
        ends_within = self.target.endswith(".safetensors") and math.prod(shape) * ALL[name].bits % 8
        return name in self.held and not ends_within

    def write(self, tensors: Mapping[str, Tensor], folder: Path) -> Path:
        pm.write(Model("any", tensors=tensors), folder / self.target, shard_size=self.shard_size)
        return self.path(folder)

    def convert(self, source: Path, folder: Path) -> Path:
        pm.convert(source, folder / self.target, shard_size=self.shard_size, weights_only=True)
        return self.path(folder)

    def path(self, folder: Path) -> Path:
        return folder / self.target if self.shard_size is None or self.target.endswith(".ckpt") else folder


FIXED = [name for name, dtype in ALL.items() if dtype.bits]
OF_SAFETENSORS = frozenset(name for name in FIXED if ALL[name].safetensors)
OF_TORCH = frozenset(name for name in FIXED if ALL[name].torch) - QUANTIZED
OF_TENSORFLOW = frozenset(name for name in FIXED if ALL[name].tensorflow is not None) | {"string"}
CONTAINERS = {
    "safetensors": Container("model.safetensors", OF_SAFETENSORS),
    "torch_pickle": Container("model.pt", OF_TORCH),
    "tensorflow_checkpoint": Container("model.ckpt", OF_TENSORFLOW),
    "npz": Container("model.npz", frozenset(FIXED) | {"string"}),
    "keras_hdf5": Container("model.h5", frozenset(FIXED) | {"string"}),
    "safetensors in shards": Container("model.safetensors", OF_SAFETENSORS, 1000),
    "torch_pickle in shards": Container("model.bin", OF_TORCH, 1000),
    "tensorflow_checkpoint in shards": Container("model.ckpt", OF_TENSORFLOW, 1000),
}
EVERYWHERE = sorted(frozenset.intersection(*(container.held for container in CONTAINERS.values())))
every_container = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS.keys())

SHAPES = [(), (0,), (0, 3), (3, 0), (2, 0, 4), (1,), (5,), (2, 3), (1, 2, 1, 2), (1,) * 30 + (2,)]
NAMES = [
    *(
        "a",
        "a.b",
        "a/b",
        "a/b/c",
        "a b",
        " ",
        ".",
        "..",
        "../a",
        "/a",
        "a/",
        "a//b",
        "a\\b",
        "C:a",
        "a\nb",
        "a'\"b",
        "-a",
    ),
    *(
        "%2E",
        "a%",
        "é",
        "e\u0301",
        "日本語/核",
        "😀",
        "a:0",
        "a" * 900,
        "a.npy",
        "0",
        "null",
        "true",
        "__metadata__",
        "~",
    ),
    *(
        "model",
        "state_dict",
        "optimizer",
        "weight",
        "keras_api",
        "layers",
        "vars/0",
        "model_weights",
        "A",
        "checkpoint",
    ),
    *(
        "_CHECKPOINTABLE_OBJECT_GRAPH",
        "a/.ATTRIBUTES/VARIABLE_VALUE",
        ".OPTIMIZER_SLOT",
        "tensor",
        "data.pkl",
        "$",
        "*",
    ),
]
ODDEST = ["", "\0", "a\0b", "\ud800", "a" * 70_000]


def elements(dtype: DType) -> np.ndarray:
    """Every pattern of bits of a type of up to 16; of wider ones those at the edges, NaNs with payloads among them."""
    if dtype is STRING:
        texts = [b"", b"plain", "æther 日本".encode(), b"\xff\xfe", b"a" * 300, b" ", b"\n"]
        return np.array(texts, object)
    if dtype.kind == "b":
        return np.array([True, False, True])
    if dtype.bits < 8:
        return unpack(packed_codes(dtype), dtype, (8 << dtype.bits,))
    width = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    if width <= 2:
        return np.arange(1 << 8 * width, dtype=f"u{width}").view(dtype.numpy)
    return np.array(edges(width * 8), f"u{width}").view(dtype.numpy)


def packed_codes(dtype: DType) -> np.ndarray:
    """Each code of a type of less than a byte, eight times over."""
    lanes = [code >> bit & 1 for code in range(1 << dtype.bits) for bit in range(dtype.bits)] * 8
    return np.packbits(np.array(lanes, np.uint8), bitorder="little")


def edges(bits: int) -> list[int]:
    """Zeros, ones, denormals, infinities, quiet and signalling NaNs, the largest and smallest, of both signs."""
    fraction = 52 if bits == 64 else 23
    sign, infinity, quiet = 1 << bits - 1, (1 << bits - 1) - (1 << fraction), 1 << fraction - 1
    positive = [0, 1, quiet - 1, quiet, (1 << fraction) - 1, 1 << fraction, infinity - 1, infinity, infinity + 1]
    positive += [infinity + quiet, infinity + quiet + 0x1234, infinity + quiet - 1, sign - 1, sign // 2, 0x01020304]
    return [part for number in positive for part in (number, number | sign)]


def made(dtype: DType, shape: tuple[int, ...], name: str = "") -> ArrayTensor:
    pool = elements(dtype)
    count = int(np.prod(shape))
    return ArrayTensor(np.resize(pool, count).reshape(shape), name, dtype=dtype)


def bits_of(tensor: Tensor) -> tuple[str, tuple[int, ...], object]:
    array = tensor.numpy()
    if tensor.dtype is STRING:
        texts = [text.encode() if isinstance(text, str) else text for text in array.reshape(-1).tolist()]
        return tensor.dtype.name, tensor.shape, texts
    assert array.shape == tensor.shape
    return tensor.dtype.name, tensor.shape, np.ascontiguousarray(array).tobytes()


def assert_same(path: Path, tensors: Mapping[str, Tensor]) -> Model:
    found = pm.read(path)
    assert set(found.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert bits_of(found.tensors[name]) == bits_of(tensor), name
        if tensor.dtype.bits:  # what is streamed is what is read
            streamed = b"".join(bytes(piece) for piece in found.tensors[name].chunks(64))
            assert streamed == b"".join(bytes(piece) for piece in tensor.chunks()), name
    return found


def refused(container: Container, tensors: Mapping[str, Tensor]) -> str | None:
    """What is said if the tensors are refused, and that nothing was written then; None if they come back."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = container.write(tensors, Path(folder))
        except UnsupportedError as error:
            assert os.listdir(folder) == []
            return str(error)
        assert_same(path, tensors)
        return None


def is_meant(said: str, name: str) -> bool:
    """Whether a refusal names a tensor."""
    return any(text[:50] in said for text in (name, repr(name)[1:-1]))


@every_container
def test_every_type_comes_back_bit_for_bit(container: Container, tmp_path: Path) -> None:
    tensors = {f"{name}/values": made(ALL[name], elements(ALL[name]).shape) for name in sorted(container.held)}
    tensors |= {f"{name}/scalar": made(ALL[name], ()) for name in sorted(container.held) if container.holds(name, ())}
    assert_same(container.write(tensors, tmp_path), tensors)


@every_container
def test_every_shape_comes_back(container: Container, tmp_path: Path) -> None:
    kinds = ("float32", "bfloat16", "bool", "int4", "uint2", "float6_e2m3fn", "string")
    tensors = {
        f"{kind}{shape}": made(ALL[kind], shape) for kind in kinds for shape in SHAPES if container.holds(kind, shape)
    }
    assert len(tensors) > 3 * len(SHAPES) - 1
    assert_same(container.write(tensors, tmp_path), tensors)


@every_container
def test_what_has_no_type_is_refused_by_name(container: Container) -> None:
    for name in sorted(set(ALL) - container.held - {"resource", "variant"}):
        said = refused(container, {"fine": made(FLOAT32, (2,)), "foreign one": made(ALL[name], (3,))})
        assert said is not None, name
        assert "foreign one" in said
        assert name in said


@every_container
@pytest.mark.parametrize("dtype", ["resource", "variant"])
def test_what_is_no_array_is_refused_by_name(container: Container, dtype: str) -> None:
    opaque = ArrayTensor(np.array([None], object), dtype=ALL[dtype])
    said = refused(container, {"fine": made(FLOAT32, (2,)), "foreign one": opaque})
    assert said is not None
    assert "foreign one" in said


@every_container
def test_the_highest_rank_comes_back_or_is_refused(container: Container) -> None:
    said = refused(container, {"deep one": made(FLOAT32, (1,) * 62 + (2, 1))})
    assert (said is None) != container.target.endswith(".h5"), said
    assert said is None or "deep one" in said


@every_container
def test_elements_that_end_within_a_byte_come_back_or_are_refused(container: Container) -> None:
    for name in sorted(container.held):
        if 0 < ALL[name].bits < 8:
            said = refused(container, {"fine": made(FLOAT32, ()), "odd one": made(ALL[name], (3,))})
            assert (said is None) == container.holds(name, (3,)), said
            assert said is None or "odd one" in said


@every_container
def test_odd_names_come_back_or_are_refused(container: Container) -> None:
    taken = {}
    for place, name in enumerate([*NAMES, *ODDEST]):
        tensors = {name: made(FLOAT32, (place + 1,))}
        said = refused(container, tensors)
        if said is None:
            taken |= tensors
        else:
            assert is_meant(said, name), (name, said)
    assert len(taken) >= len(NAMES) - 1, set(NAMES) - set(taken)
    assert refused(container, taken) is None


@every_container
def test_ties_come_back_under_every_name(container: Container, tmp_path: Path) -> None:
    shared = made(FLOAT32, (2, 200))
    tensors = {"first": shared, "other": made(FLOAT32, (300,)), "second": shared, "z/third": shared}
    found = assert_same(container.write(tensors, tmp_path), tensors)
    if not container.target.endswith(".safetensors") and not container.target.endswith((".npz", ".h5")):
        assert len({id(found.tensors[name]) for name in ("first", "second", "z/third")}) == 1


@every_container
def test_strings(container: Container) -> None:
    hard = np.array([[b"a\0b", b"\0"], [b"ends\0\0", b""]], object)
    said = refused(container, {"plain": made(FLOAT32, ()), "texts": ArrayTensor(hard)})
    assert "string" not in container.held or said is None
    assert said is None or "texts" in said
    text = np.array(["", "é", "日本", "a b"], object)
    assert (refused(container, {"texts": ArrayTensor(text)}) is None) == ("string" in container.held)


@every_container
def test_nothing_at_all_comes_back(container: Container) -> None:
    assert refused(container, {}) is None


MIXED = {
    "block/1/kernel": made(FLOAT32, (3, 4)),
    "block/1/bias": made(ALL["bfloat16"], (300,)),
    "step": made(ALL["int64"], ()),
    "mask": made(ALL["bool"], (2, 0)),
    "head.weight": made(ALL["float8_e4m3fn"], (256,)),
    "phase": made(ALL["complex64"], (15,)),
    "tied": (tie := made(ALL["float16"], (2, 100))),
    "tied again": tie,
}


@pytest.mark.parametrize("second", CONTAINERS)
@pytest.mark.parametrize("first", CONTAINERS)
def test_from_any_container_into_any_other(tmp_path: Path, first: str, second: str) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    path = CONTAINERS[first].write(MIXED, folders[0])
    assert_same(CONTAINERS[second].convert(path, folders[1]), MIXED)


def tensors_of(kinds: Iterable[str]) -> st.SearchStrategy[dict[str, Tensor]]:
    """Models with names and shapes of all sorts."""
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    names = st.text(letters, min_size=1, max_size=12) | st.sampled_from(NAMES)
    shapes = st.lists(st.integers(0, 4), max_size=5).map(tuple)
    tensors = st.builds(made, st.sampled_from([ALL[kind] for kind in kinds]), shapes)
    return st.dictionaries(names, tensors, max_size=6)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(tensors_of(EVERYWHERE), st.lists(st.sampled_from(sorted(CONTAINERS)), min_size=3, max_size=4))
def test_chains_of_containers(tensors: dict[str, Tensor], chain: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path, said = None, None
        for place, name in enumerate(chain):
            folder = Path(scratch) / str(place)
            folder.mkdir()
            try:
                path = CONTAINERS[name].convert(path, folder) if path else CONTAINERS[name].write(tensors, folder)
            except UnsupportedError as error:  # a name that this container cannot have
                said = str(error)
            if said is not None:
                assert any(is_meant(said, name) for name in tensors), said
                assert os.listdir(folder) == []
                return
            assert_same(path, tensors)
