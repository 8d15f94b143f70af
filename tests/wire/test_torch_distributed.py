from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.damage import assert_survives
from tests.distributed_checkpoints import (
    METADATA,
    BytesStorageMetadata,
    ChunkStorageMetadata,
    StorageInfo,
    TensorStorageMetadata,
    call,
    entry,
    index,
    metadata,
    named,
    pickled,
    properties,
    size,
)

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, UnsafeError, UnsupportedError
from panmodel.io.source import FileSource, MemorySource
from panmodel.limits import Limits
from panmodel.wire.torch_distributed import Blob, Chunk, Metadata, TensorEntry, read_metadata


def read(data: bytes, **options: object) -> Metadata:
    return read_metadata(MemorySource(data, ".metadata"), **options)  # type: ignore[arg-type]


def info(file: str = "__0_0.distcp", offset: object = 0, length: object = 2000, **more: object) -> Any:
    return StorageInfo(relative_path=file, offset=offset, length=length, **more)


def two_chunks() -> bytes:
    boxes = [((0, 0), (2, 3)), ((2, 0), (1, 3))]
    stored = {index("w", (0, 0)): info(), index("w", (2, 0)): info("__1_0.distcp"), index("lr"): info(offset=2000)}
    entries = {"w": entry("bfloat16", (3, 3), boxes), "lr": BytesStorageMetadata()}
    return metadata(entries, stored, {"w": ("model", "w"), "lr": ("groups", 0, "lr")})


def test_tensors_chunks_values_and_paths() -> None:
    assert read(two_chunks()) == Metadata(
        {
            "w": TensorEntry(
                dtypes.BFLOAT16,
                (3, 3),
                (
                    Chunk((0, 0), (2, 3), Blob("__0_0.distcp", 0, 2000)),
                    Chunk((2, 0), (1, 3), Blob("__1_0.distcp", 0, 2000)),
                ),
            ),
            "lr": Blob("__0_0.distcp", 2000, 2000),
        },
        {"w": ("model", "w"), "lr": ("groups", 0, "lr")},
        "1.0.0",
    )


def test_the_properties_of_older_versions() -> None:
    older = properties("int64", "torch.distributed._shard.sharded_tensor.metadata", "")
    whole = TensorStorageMetadata(
        properties=older, size=size(), chunks=[ChunkStorageMetadata(offsets=size(), sizes=size())]
    )
    assert read(metadata({"n": whole}, {index("n", ()): info()}, version=None)) == Metadata(
        {"n": TensorEntry(dtypes.INT64, (), (Chunk((), (), Blob("__0_0.distcp", 0, 2000)),))}
    )


def test_a_chunk_that_is_not_stored_is_said_to_be_missing() -> None:
    found = read(metadata({"w": entry("float32", (4,), [((0,), (2,)), ((2,), (2,))])}, {index("w", (2,)): info()}))
    assert [chunk.blob for chunk in found.entries["w"].chunks] == [None, Blob("__0_0.distcp", 0, 2000)]  # type: ignore[union-attr]


@pytest.mark.parametrize("module", ["os", "builtins", "torch.distributed.checkpoint.planner"])
def test_other_names_are_refused(module: str) -> None:
    for planted in (call(module, "system", "true"), named(module, "system")(), named(module, "system")):
        with pytest.raises(UnsafeError, match=f"{module}.system"):
            read(metadata({}, {}, {"w": ("w",)}, extra=planted))


W = {"w": entry("float32", (4,), [((0,), (4,))])}
AT = {index("w", (0,)): info()}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (pickled([]), "where a Metadata is expected"),
        (pickled(named(METADATA, "MetadataIndex")()), "where a Metadata is expected"),
        (pickled(call(METADATA, "Metadata")), "where a Metadata is expected"),
        (pickled(named(METADATA, "Metadata")()), "without state_dict_metadata"),
        (two_chunks() + b"more", "4 bytes follow"),
        (metadata({7: BytesStorageMetadata()}, {}), "7 as the name"),  # type: ignore[dict-item]
        (metadata({"w": BytesStorageMetadata()}, {}), "described and not stored"),
        (metadata({"w": "something"}, {}), "'something' where a TensorStorageMetadata"),
        (metadata(W, {"w": info()}), "'w' where a MetadataIndex"),
        (metadata(W, {index("w", (0,)): "file"}), "'file' where a _StorageInfo"),
        (metadata(W, {index("w", (0,)): info(offset=-1)}), "no proper place"),
        (metadata(W, {index("w", (0,)): info(length=True)}), "no proper place"),
        (metadata(W, {index("w", (0,)): info(), index("w", (0,)): info(offset=5000)}), "stored twice"),
        (metadata(W, {**AT, index("x"): info(offset=1999)}), "overlaps"),
        (metadata(W, {index("w", (0,)): info(length=15)}), "cannot be in the 15 bytes"),
        (metadata({"w": entry("float32", (4,), [((1,), (4,))])}, {}), "a chunk of"),
        (metadata({"w": entry("float32", (4,), [((0, 0), (4, 1))])}, {}), "without proper offsets"),
        (metadata({"w": entry("float32", (4,), [((0,), (2,)), ((0,), (4,))])}, {}), "two chunks at"),
        (metadata({"w": entry("float33", (4,), [])}, {}), "float33|no part of"),
        (metadata({"w": entry("float32", (1 << 40, 0, 1 << 40), [])}, {}), "larger than can be addressed"),
        (metadata({"w": TensorStorageMetadata(properties=None, size=size(4), chunks=[])}, {}), "as element type"),
        (
            metadata({"w": TensorStorageMetadata(properties=properties("int8"), size=[4], chunks=[])}, {}),
            "no proper size",
        ),
        (metadata(W, AT, {"w": ("w", 1.5)}), "neither names nor numbers"),
        (metadata(W, AT, {"w": ()}), "the path to 'w'"),
        (metadata(W, AT, {"w": ("w",) * 65}), "the path to 'w'"),
        (metadata({"w": entry("float32", (-4,), [])}, {}), "other things than dimensions"),
    ],
)
def test_what_cannot_be_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises((CorruptError, UnsafeError), match=complaint):
        read(data)


def test_compressed_checkpoints_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"'w' was written through the extension 'stream\.zstd'"):
        read(metadata(W, {index("w", (0,)): info(transform_descriptors=["stream.zstd"])}))


def test_numbers_are_bounded() -> None:
    data = two_chunks()
    for limits in (Limits(pickle_bytes=len(data) - 1), Limits(tensors=1), Limits(rank=1)):
        with pytest.raises(LimitError):
            read(data, limits=limits)


def test_many_records_are_no_attack() -> None:
    boxes = [((number,), (1,)) for number in range(200)]
    stored = {index("w", start): info(offset=2000 * number) for number, (start, _) in enumerate(boxes)}
    data = metadata({"w": entry("float32", (200,), boxes)}, stored)
    assert len(read(data, limits=Limits(pickle_opcodes=2000)).entries["w"].chunks) == 200  # type: ignore[union-attr]
    with pytest.raises(LimitError, match="opcodes"):
        read(data, limits=Limits(pickle_opcodes=500))


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(two_chunks())
    assert_survives(lambda copy: read_metadata(FileSource(copy)), tmp_path / ".metadata")
