from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.damage import assert_survives, contents_of

import panmodel as pm
from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError, PanmodelError, UnsafeError, UnsupportedError
from panmodel.formats import torch_pickle
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, StoredTensor, Tensor
from panmodel.wire.pickle import Global, Object, PersistentId, dump

ORDERED = Global("collections", "OrderedDict")
REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
FLOATS = np.arange(12, dtype=np.float32)


def storage(key: str = "0", count: int = 12, kind: str = "FloatStorage", module: str = "torch") -> PersistentId:
    return PersistentId(("storage", Global(module, kind), key, "cuda:0", count))


def view(
    offset: object = 0, shape: object = (3, 4), strides: object = (4, 1), *more: object, of: object = None
) -> Object:
    return Object(REBUILD, (of or storage(), offset, shape, strides, False, Object(ORDERED), *more))


def archive(path: Path, value: object, storages: dict[str, bytes] | None = None, **records: bytes) -> Location:
    """A file as torch.save would write it, of a value that it would not."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", value if isinstance(value, bytes) else dump(value))
        for key, content in (storages or {"0": FLOATS.tobytes()}).items():
            file.writestr(f"a/data/{key}", content)
        for name, content in records.items():
            file.writestr(f"a/{name}", content)
    return Location(path)


def loaded(path: Path, value: object, storages: dict[str, bytes] | None = None, **records: bytes) -> Model:
    location = archive(path / "a.pt", value, storages, **records)
    assert torch_pickle.sniff(location)
    return torch_pickle.read(location)


def written(path: Path, tensors: dict[str, Tensor], **metadata: object) -> Location:
    with Sink(path, force=True) as sink:
        torch_pickle.write(Model("test", tensors=tensors, metadata=metadata), sink)
    return Location(path)


# Reading


def test_contiguous_views_stay_in_the_file(tmp_path: Path) -> None:
    model = loaded(tmp_path, {"whole": view(), "row": view(4, (4,), (1,)), "unit": view(2, (1, 2), (99, 1))})
    assert all(isinstance(tensor, StoredTensor) and tensor.extent for tensor in model.tensors.values())
    np.testing.assert_array_equal(model.tensors["whole"].numpy(), FLOATS.reshape(3, 4))
    np.testing.assert_array_equal(model.tensors["row"].numpy(), [4, 5, 6, 7])
    np.testing.assert_array_equal(model.tensors["unit"].numpy(), [[2, 3]])
    assert model.metadata["shared_storages"] == [["whole", "row", "unit"]]
    assert model.metadata["devices"] == ["cuda:0"]


def test_strided_views_are_put_in_order(tmp_path: Path) -> None:
    state = {"transposed": view(0, (4, 3), (1, 4)), "expanded": view(1, (2, 3), (0, 1)), "column": view(1, (3,), (4,))}
    tensors = loaded(tmp_path, state).tensors
    np.testing.assert_array_equal(tensors["transposed"].numpy(), FLOATS.reshape(3, 4).T)
    np.testing.assert_array_equal(tensors["expanded"].numpy(), [[1, 2, 3], [1, 2, 3]])
    np.testing.assert_array_equal(np.frombuffer(b"".join(tensors["column"].chunks()), np.float32), [1, 5, 9])


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=3),
    st.integers(0, 12),
    st.sampled_from(["<", ">"]),
)
def test_a_view_is_numpys_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, axes: list[tuple[int, int]], offset: int, order: str
) -> None:
    shape, strides = tuple(extent for extent, _ in axes), tuple(stride for _, stride in axes)
    path = tmp_path_factory.mktemp("view")
    stored = {"0": FLOATS.astype(f"{order}f4").tobytes()}
    byteorder = b"little" if order == "<" else b"big"
    last = offset + sum((extent - 1) * stride for extent, stride in axes)
    if 0 not in shape and last >= 12:
        with pytest.raises(CorruptError, match="reaches beyond"):
            loaded(path, {"t": view(offset, shape, strides)}, stored, byteorder=byteorder)
        return
    found = loaded(path, {"t": view(offset, shape, strides)}, stored, byteorder=byteorder).tensors["t"].numpy()
    index = offset + sum(np.indices(shape)[axis] * stride for axis, stride in enumerate(strides))
    np.testing.assert_array_equal(found, np.empty(shape) if 0 in shape else FLOATS[index])


def test_conjugated_and_negated_views(tmp_path: Path) -> None:
    numbers = np.array([1 + 2j, 3 - 4j], np.complex64)
    of = storage(count=2, kind="ComplexFloatStorage")
    state = {"c": view(0, (2,), (1,), {"conj": True}, of=of), "n": view(0, (2,), (1,), {"neg": True}, of=of)}
    tensors = loaded(tmp_path, state, {"0": numbers.tobytes()}).tensors
    np.testing.assert_array_equal(tensors["c"].numpy(), numbers.conj())
    np.testing.assert_array_equal(tensors["n"].numpy(), -numbers)


def test_types_without_a_storage_class_count_offsets_in_elements(tmp_path: Path) -> None:
    untyped = storage(count=8, kind="UntypedStorage", module="torch.storage")
    args = (untyped, 1, (2,), (1,), False, Object(ORDERED), Global("torch", "uint16"))
    rebuilt = Object(Global("torch._utils", "_rebuild_tensor_v3"), args)
    tensor = loaded(tmp_path, {"t": rebuilt}, {"0": np.arange(4, dtype=np.uint16).tobytes()}).tensors["t"]
    assert tensor.dtype is dtypes.UINT16
    np.testing.assert_array_equal(tensor.numpy(), [1, 2])


def test_parameters_and_old_tensors(tmp_path: Path) -> None:
    old = Object(Global("torch._utils", "_rebuild_tensor"), (storage(), 0, (12,), (1,)))
    parameter = Object(Global("torch._utils", "_rebuild_parameter"), (view(), True, Object(ORDERED)))
    stateful = Object(Global("torch._utils", "_rebuild_parameter_with_state"), (view(), True, Object(ORDERED), {}))
    model = loaded(tmp_path, {"old": old, "parameter": parameter, "stateful": stateful})
    assert {name: tensor.shape for name, tensor in model.tensors.items()} == {
        "old": (12,),
        "parameter": (3, 4),
        "stateful": (3, 4),
    }


def test_tied_names_are_one_tensor(tmp_path: Path) -> None:
    model = loaded(tmp_path, {"embed": view(), "head": view(), "other": view(0, (12,), (1,))})
    assert model.tensors["embed"] is model.tensors["head"]
    assert model.tensors["embed"] is not model.tensors["other"]
    copy = torch_pickle.read(written(tmp_path / "b.pt", dict(model.tensors)))
    assert copy.tensors["embed"] is copy.tensors["head"]
    with zipfile.ZipFile(tmp_path / "b.pt") as file:
        assert [name for name in file.namelist() if "/data/" in name] == ["archive/data/0", "archive/data/1"]


def test_a_tensor_alone_and_tensors_in_lists_have_names(tmp_path: Path) -> None:
    assert list(loaded(tmp_path, view()).tensors) == ["tensor"]
    assert list(loaded(tmp_path, {"a": [view(), {"b": (view(), 1)}], 3: view()}).tensors) == ["a.0", "a.1.b.0", "3"]


def test_a_training_checkpoint(tmp_path: Path) -> None:
    slots = {"step": view(5, (), ()), "exp_avg": view(), "exp_avg_sq": view()}
    group = {"lr": 0.1, "betas": (0.9, 0.99), "params": [0, 1], "foreach": None}
    bias = view(0, (3,), (1,))
    value = {
        "epoch": 7,
        "global_step": 900,
        "arch": "resnet18",
        "model_state_dict": Object(
            ORDERED,
            items=[("fc.weight", view()), ("bn.running_mean", bias), ("fc.bias", bias)],
            states=[{"_metadata": Object(ORDERED, items=[("", {"version": 1}), ("bn", {"version": 2})])}],
        ),
        "optimizer": {"state": {0: slots, 1: {"exp_avg": bias}}, "param_groups": [group]},
    }
    model = loaded(tmp_path, value)
    assert list(model.tensors)[:3] == ["fc.weight", "bn.running_mean", "fc.bias"]
    assert "optimizer.state.0.exp_avg" in model.tensors
    training = model.training
    assert training is not None
    assert (training.epoch, training.step, training.optimizer) == (7, 900, "adam")
    assert training.hyperparameters == {"lr": 0.1, "betas": (0.9, 0.99), "foreach": None}
    assert {name: sorted(kinds) for name, kinds in training.slots.items()} == {
        "fc.weight": ["exp_avg", "exp_avg_sq", "step"],
        "fc.bias": ["exp_avg"],
    }
    assert model.metadata["values"] == {"arch": "resnet18"}
    assert model.metadata["modules"] == {"": {"version": 1}, "bn": {"version": 2}}
    assert model.metadata["state_dict"] == "model_state_dict"


def test_plain_values_of_checkpoints(tmp_path: Path) -> None:
    dtype = Object(Global("numpy", "dtype"), ("f8", False, True))
    dtype.states.append((3, "<", None, None, None, -1, -1, 0))
    raw = Object(Global("_codecs", "encode"), ("\0\0\0\0\0\0\u00f8\u003f", "latin1"))
    value = {
        "best": Object(Global("numpy.core.multiarray", "scalar"), (dtype, raw)),
        "classes": Object(Global("__builtin__", "set"), (["cat", "dog"],)),
        "size": Object(Global("torch", "Size"), ((2, 3),)),
        "device": Object(Global("torch", "device"), ("cuda", 1)),
        "dtype": Global("torch", "float16"),
        "counts": Object(Global("collections", "defaultdict"), (Global("__builtin__", "int"),), items=[("a", 1)]),
        "w": view(),
    }
    model = loaded(tmp_path, value)
    assert model.metadata["values"] == {
        "best": 1.5,
        "dtype": "torch.float16",
        "classes.0": "cat",
        "classes.1": "dog",
        "size.0": 2,
        "size.1": 3,
        "device": "cuda:1",
        "counts.a": 1,
    }
    assert [notice.names for notice in model.notices] == [("counts",)]


# Refusing


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (view(True), "proper offset"),
        (view(-1), "proper offset"),
        (view(1), "reaches beyond the 12 elements"),
        (view(0, (1 << 62,), (1 << 62,)), "larger than|reaches beyond"),
        (view(0, (3,), (4, 1)), "proper offset"),
        (view(0, [3, 4]), "proper offset"),
        (view(0, (0, 1 << 62, 1 << 62), (0, 0, 0)), "larger than can be addressed"),
        (view(of=storage(count=13)), "48 bytes, 13 float32 elements are expected"),
        (view(of=storage(count=1 << 70)), "number of elements"),
        (view(of=storage("1")), "is not in the archive"),
        (view(of=storage("../../b")), "is not in the archive"),
        (view(of=PersistentId("storage")), "is no storage"),
        (view(of="storage"), "storage is 'storage'"),
        (Object(REBUILD, (storage(),)), "1 values"),
        (Object(Global("torch", "Size"), ((2.5,),)), "torch.Size"),
        (Object(Global("_codecs", "encode"), ("x", "rot13")), "latin1"),
        (Object(Global("__builtin__", "bytearray"), (1 << 40,)), "bytearray"),
        (Object(Global("__builtin__", "complex"), ("1", "2")), "complex"),
        (Object(ORDERED, (["ab"],)), "pairs"),
        (b"\x80\x02}.}.", "2 bytes follow"),
    ],
)
def test_a_pickle_that_contradicts_itself_is_refused(tmp_path: Path, value: object, complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        loaded(tmp_path, value if isinstance(value, bytes) else {"t": value})


def test_what_expands_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="repeats the 48 bytes"):
        loaded(tmp_path, {"t": view(0, (1 << 30, 4), (0, 1))})
    with pytest.raises(LimitError, match="65 dimensions"):
        loaded(tmp_path, {"t": view(0, (1,) * 65, (1,) * 65)})
    with pytest.raises(LimitError, match="nested"):
        loaded(tmp_path, b"\x80\x02}q\x00X\x01\x00\x00\x00kh\x00s.")
    copies = b"q\x00" + b"c__builtin__\nset\nh\x00\x85R" * 2000
    with pytest.raises(LimitError, match="copies its own contents"):
        loaded(tmp_path, b"\x80\x02(" + b"N" * 10_000 + b"l" + copies + b".")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (view(of=storage(kind="QUInt5Storage")), "QUInt5Storage are not read"),
        (view(0, (1,), (1,), {"zero": True}), "metadata other than"),
        ("text", "holds 'text', which is no state dict"),
    ],
)
def test_what_is_not_read_yet_is_named(tmp_path: Path, value: object, complaint: str) -> None:
    with pytest.raises(UnsupportedError, match=complaint):
        loaded(tmp_path, value)


def test_all_foreign_names_are_listed(tmp_path: Path) -> None:
    value = {"w": view(), "x": Object(Global("os", "system"), ("true",)), "y": Object(Global("my.code", "run"))}
    with pytest.raises(UnsafeError, match=r"2 thing\(s\).*os\.system, my\.code\.run") as caught:
        loaded(tmp_path, value)
    assert caught.value.exit_code == 5


# Writing


TORCH_TYPES = [dtype for name, dtype in sorted(dtypes.BY_TORCH.items()) if not name.startswith("q")]


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for name in draw(st.lists(st.text(), unique=True, max_size=5)):
        dtype: DType = draw(st.sampled_from(TORCH_TYPES))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        size = int(np.prod(shape)) * dtype.itemsize
        array = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype.numpy).reshape(shape)
        made[name] = ArrayTensor(array, name, dtype=dtype)
    return made


@given(tensors())
def test_what_is_written_is_read_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, given: dict[str, Tensor]
) -> None:
    model = torch_pickle.read(written(tmp_path_factory.mktemp("torch") / "a.pt", given))
    assert list(model.tensors) == list(given)
    for name, tensor in model.tensors.items():
        assert (tensor.dtype, tensor.shape) == (given[name].dtype, given[name].shape)
        assert tensor.numpy().tobytes() == given[name].numpy().tobytes()
        assert tensor.extent is not None
        assert tensor.extent.offset % 64 == 0


def test_module_versions_are_kept(tmp_path: Path) -> None:
    tensor = ArrayTensor(np.zeros(2, np.float32))
    model = torch_pickle.read(written(tmp_path / "a.pt", {"w": tensor}, modules={"bn": {"version": 2}}))
    assert model.metadata["modules"] == {"bn": {"version": 2}}


def test_what_torch_lacks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    given = {
        "labels": ArrayTensor(np.array([b"x"], object)),
        "packed": ArrayTensor(np.zeros(2, dtypes.ALL["int4"].numpy)),
    }
    given["codes"] = ArrayTensor(np.zeros(2, np.int8), dtype=dtypes.ALL["qint8"])
    with pytest.raises(UnsupportedError, match=r"no type for labels \(string\), packed \(int4\), codes \(qint8\)"):
        written(tmp_path / "a.pt", given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# Damage


def test_a_changed_weight_is_found_and_its_tensor_named(tmp_path: Path) -> None:
    given = {"first": ArrayTensor(FLOATS), "second": ArrayTensor(FLOATS + 100)}
    path = written(tmp_path / "a.pt", given).path  # type: ignore[arg-type]
    data = bytearray(path.read_bytes())
    data[data.index((FLOATS + 100).tobytes()) + 17] ^= 1
    path.write_bytes(data)
    model = torch_pickle.read(Location(path))
    np.testing.assert_array_equal(model.tensors["first"].numpy(), FLOATS)
    with pytest.raises(CorruptError, match="tensor 'second' does not meet its checksum"):
        model.tensors["second"].numpy()


@pytest.mark.parametrize("shape", ["row", "column"])
def test_a_changed_weight_is_found_in_a_part_of_a_storage(tmp_path: Path, shape: str) -> None:
    state = {"row": view(0, (4,), (1,)), "column": view(0, (3,), (4,))}
    path = archive(tmp_path / "a.pt", state).path
    data = path.read_bytes()
    path.write_bytes(data.replace(FLOATS.tobytes(), (FLOATS + (FLOATS == 6)).tobytes()))
    with pytest.raises(CorruptError, match=f"tensor '{shape}' does not meet its checksum"):
        torch_pickle.read(Location(path)).tensors[shape].numpy()


def test_every_damage_is_found(tmp_path: Path) -> None:
    given = {"first": ArrayTensor(FLOATS), "second": ArrayTensor(FLOATS + 100), "none": ArrayTensor(np.zeros((0, 3)))}
    path = written(tmp_path / "a.pt", given).path  # type: ignore[arg-type]
    assert_survives(lambda copy: contents_of(torch_pickle.read(Location(copy))), path, exact=True)


def test_damage_of_views_and_checkpoints_is_found(tmp_path: Path) -> None:
    state = {"state_dict": {"t": view(0, (4, 3), (1, 4)), "row": view(4, (4,), (1,))}, "epoch": 3}
    path = archive(tmp_path / "a.pt", state, byteorder=b"little", version=b"3\n").path
    assert_survives(lambda copy: contents_of(torch_pickle.read(Location(copy))), path, exact=True)


def test_the_pickle_itself_survives_damage(tmp_path: Path) -> None:
    """Behind a valid CRC-32, as an attacker would write it."""
    path = tmp_path / "data.pkl"
    path.write_bytes(dump({"state_dict": {"t": view(0, (4, 3), (1, 4))}, "optimizer": {"state": {0: {"m": view()}}}}))

    def read_all(copy: Path) -> object:
        return contents_of(torch_pickle.read(archive(copy.with_name("a.pt"), copy.read_bytes())))

    assert_survives(read_all, path)


# Telling


def test_other_archives_are_not_taken_for_it(tmp_path: Path) -> None:
    for members in (["a.npy"], ["config.json"], ["a/data.pkl", "a/constants.pkl"], ["a/data.pkl", "a/code/net.py"]):
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
            for member in members:
                file.writestr(member, b"")
        assert not torch_pickle.sniff(Location(tmp_path / "a.pt")), members
    for other in (b"", b"\x80", b"\x80\x02}", b"\x80\x09}."):
        (tmp_path / "a.pt").write_bytes(other)
        assert not torch_pickle.sniff(Location(tmp_path / "a.pt")), other
    for name in ("a.pt", ".metadata"):
        (tmp_path / name).write_bytes(b"\x80\x02ctorch.distributed.checkpoint.state_dict_saver\nsave\n)R.")
    assert not torch_pickle.sniff(Location(tmp_path / ".metadata"))
    with pytest.raises(UnsafeError, match="state_dict_saver"):
        torch_pickle.read(Location(tmp_path / "a.pt"))
    (tmp_path / "a.pt").write_bytes(b"\x80\x02}.")
    assert torch_pickle.sniff(Location(tmp_path / "a.pt"))


def test_a_damaged_file_is_told_by_its_first_member(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", {"w": ArrayTensor(FLOATS)}).path
    path.write_bytes(path.read_bytes()[:-30])
    assert torch_pickle.sniff(Location(path))
    with pytest.raises(PanmodelError, match="cut short"):
        torch_pickle.read(Location(path))


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"w": view()}, version=b"3\n").metadata == {
        "framework": "pytorch",
        "container_version": 3,
        "devices": ["cuda:0"],
    }


def test_a_state_dict_of_tensorflow_s_names_tells_its_training_state(tmp_path):
    tensors = {name: ArrayTensor(np.full(3, 0.5, np.float32), name) for name in ("w", "w/Adam", "w/Adam_1")}
    tensors["global_step"] = ArrayTensor(np.int64(7), "global_step")
    for shard_size, name in ((None, "a.pt"), (20, "b.bin")):
        pm.write(Model("any", tensors=tensors), tmp_path / name, shard_size=shard_size)
        found = pm.read(tmp_path / name if shard_size is None else tmp_path / "b.bin.index.json")
        assert (found.training.step, found.training.optimizer) == (7, "adam")
        assert list(found.training.slots["w"]) == ["m", "v"] and list(found.weights) == ["w"]


def test_a_shard_without_its_index_is_said_to_be_a_part(tmp_path):
    tensors = {name: ArrayTensor(np.ones(4, np.float32)) for name in "ab"}
    pm.write(Model("any", tensors=tensors), tmp_path / "m.bin", shard_size=16)
    part = tmp_path / "m-00001-of-00002.bin"
    assert pm.read(part).notices == [] and len(pm.read(part).tensors) == 2
    (tmp_path / "m.bin.index.json").unlink()
    (notice,) = pm.read(part).notices
    assert "one of 2 files" in str(notice)
