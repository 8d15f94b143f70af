from __future__ import annotations

import time

import pytest

from panmodel import dtypes
from panmodel.errors import LimitError
from panmodel.io.source import Extent, MemorySource
from panmodel.limits import Limits
from panmodel.model.torch.checkpoint import Contents, contents
from panmodel.model.torch.skeleton import Branch, Leaf, scalars
from panmodel.wire.pickle import Dictionary, Global, Object
from panmodel.wire.torch_records import (
    ArrayRecord,
    ComposedRecord,
    Listed,
    MetaRecord,
    PlainValue,
    Quantizer,
    Sizes,
    StorageBytes,
    StorageRecord,
    SubclassRecord,
    TensorRecord,
    TorchValue,
)

STORAGE = StorageRecord("0", dtypes.FLOAT32, "cpu", 16, StorageBytes(16))

FOUR_BYTES = Extent(MemorySource(b"abcd"), 0, 4)


def record(*shape: int) -> TensorRecord:
    return TensorRecord(STORAGE, dtypes.FLOAT32, 0, shape, (1,) * len(shape))


def branch(found: Contents) -> Branch:
    assert isinstance(found.root, Branch)
    return found.root


def test_names_are_paths() -> None:
    found = contents({"a": {"b": record(1), 3: [record(2), None]}, "lr": 0.5, (1, 2): 7}, "a.pt")
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {"a.b": (1,), "a.3.0": (2,)}
    assert dict(scalars(found.root)) == {"a.3.1": None, "lr": 0.5, "1, 2": 7}
    assert found.changed == {"keys of dictionaries as text": [""]}
    assert contents(record(1), "a.pt").root == Leaf("tensor")
    assert list(contents({"": record(1)}, "a.pt").tensors) == [""]


def test_keys_of_bytes_are_their_text() -> None:
    found = contents({b"w": record(1), "é".encode(): record(1), b"\xff": record(1), "b": bytearray(b"\xff")}, "a.pt")
    assert list(found.tensors) == ["w", "é", "ÿ"] and found.root.get("b") == bytearray(b"\xff")  # type: ignore[union-attr]
    assert found.changed == {"keys of dictionaries as text": ["", "", ""]}


def test_tensors_and_objects_as_keys_do_not_get_in_each_others_way() -> None:
    member = Object(Global("my.nets", "Colour"), ("red",))
    held = {record(1): record(2), record(1): record(3), member: record(4), Object(Global("my", "A")): 1}
    found = contents(held, "a.pt")
    assert list(found.tensors) == ["a TensorRecord", "a TensorRecord 1", "red"]
    assert dict(scalars(found.root)) == {"an object of my.A": 1}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Object(Global("my.nets", "Colour"), ("red",)), {"a": "red"}),
        (Object(Global("my.nets", "Colour"), (3,), called=False), {"a.0": 3}),
        (Object(Global("my.nets", "Pair"), (1, 2)), {"a.0": 1, "a.1": 2}),
        (Object(Global("my.nets", "Config"), ({"rate": 1},), states=[{"b": 2}]), {"a.b": 2, "a.args.0.rate": 1}),
        (Object(Global("builtins", "getattr"), (Global("my.nets", "Colour"), "RED")), {"a": "my.nets.Colour.RED"}),
        (
            Object(
                Global("functools", "partial"), (Global("m", "f"),), states=[(Global("m", "f"), (1,), {"b": 2}, {})]
            ),
            {"a.func": "m.f", "a.args.0": 1, "a.keywords.b": 2},
        ),
        (Object(Global("functools", "partial"), (Global("m", "f"),)), {"a.func": "m.f"}),
        (Object(Global("builtins", "getattr"), (Object(Global("my", "A")), "run")), {}),
        (Object(Global("os", "thing"), ("red",)), {}),
    ],
)
def test_calls_are_taken_for_what_they_are_given(value: Object, told: dict[str, object]) -> None:
    found = contents({"a": value, "w": record(1)}, "a.pt")
    assert dict(scalars(found.root)) == told
    assert found.opaque == ([] if told else ["a"]) and (found.changed or not told)


def test_arrays_of_arrays_without_end_are_refused() -> None:
    made: list[object] = [1]
    for _ in range(60):
        made = [ArrayRecord("O", None, (2,), items=made * 2 if len(made) == 1 else made)] * 2
    before = time.process_time()
    with pytest.raises(LimitError):
        contents(made, "a.pkl")
    assert time.process_time() - before < 20


def test_the_state_dict_of_a_checkpoint_goes_without_its_key() -> None:
    found = contents({"model": {"fc.w": record(1)}, "optimizer": {"m": [record(2)]}, "epoch": 3}, "a.pt")
    assert (found.key, list(found.tensors)) == ("model", ["fc.w", "optimizer.m.0"])
    assert branch(found).get("model") == Branch("dict", (("fc.w", Leaf("fc.w")),))
    both = contents({"model": {"w": record(1)}, "ema": {"w": record(1)}}, "a.pt")
    assert (both.key, list(both.tensors)) == ("", ["model.w", "ema.w"])
    taken = contents({"model": {"w": record(1)}, "w": record(2)}, "a.pt")
    assert list(taken.tensors) == ["model.w", "w"]


def test_containers_keep_their_kinds() -> None:
    ordered = Dictionary({"w": record(1)})
    ordered.attributes["_metadata"] = Dictionary({"": {"version": 1, "odd": []}, "bn": {"version": 2}, 3: {}})
    found = branch(contents({"a": ordered, "b": (1, [2]), "c": {3}, "d": True}, "a.pt"))
    kinds = {key: child.kind for key, child in found.items if isinstance(child, Branch)}
    assert kinds == {"a": "OrderedDict", "b": "tuple", "c": "set"}
    state = found.get("a")
    assert isinstance(state, Branch)
    assert state.modules == {"": {"version": 1}, "bn": {"version": 2}}


def test_tensors_of_several_parts() -> None:
    quantizer = Quantizer("per_channel_affine", record(3), record(3), 0)
    integers = TensorRecord(STORAGE, dtypes.ALL["qint8"], 0, (4,), (1,), quantizer=quantizer)
    coo = ComposedRecord("sparse_coo", dtypes.FLOAT32, (3, 4), {"indices": record(2), "values": record(2)}, True)
    found = contents({"q": integers, "s": coo, "m": MetaRecord(dtypes.FLOAT16, (2,), (1,)), "w": record(1)}, "a.pt")
    assert list(found.tensors) == ["q", "q.scale", "q.zero_point", "s.indices", "s.values", "w"]
    assert found.tensors["q"].dtype is dtypes.INT8
    kinds = [child.kind for _, child in branch(found).items if isinstance(child, Branch)]
    assert kinds == ["quantized", "sparse", "meta"]


def test_what_is_simplified_or_left_out_is_said() -> None:
    space = Object(Global("argparse", "Namespace"), called=False, states=[{"lr": 0.1}])
    value = {
        "array": ArrayRecord("f4", dtypes.FLOAT32, (1,), data=FOUR_BYTES),
        "dates": ArrayRecord("M8[ns]", None, (1,)),
        "args": space,
        "path": PlainValue("pathlib.Path", "runs/1"),
        "mine": SubclassRecord(Global("my", "Tensor"), record(1)),
        "type": Global("torch", "Tensor"),
        "call": Object(Global("torch._C", "Generator")),
    }
    found = contents(value, "a.pt")
    assert list(found.tensors) == ["array", "mine"]
    assert found.opaque == ["dates", "call"]
    assert dict(scalars(found.root)) == {"args.lr": 0.1, "path": "runs/1", "type": "torch.Tensor"}
    assert {name for names in found.changed.values() for name in names} == {"array", "args", "path", "mine", "type"}


def test_what_is_simplified_goes_by_the_name_of_its_tensor() -> None:
    found = contents(
        {"model": {"w": ArrayRecord("f4", dtypes.FLOAT32, (1,), data=FOUR_BYTES)}, "epoch": 1},
        "a.pt",
    )
    assert found.changed == {"numpy arrays as tensors": ["w"]}


def test_plain_values_stay_what_they_are() -> None:
    device = TorchValue("device", "cpu")
    value = {"type": Global("torch", "int4"), "device": device, "sizes": Sizes((1, 2)), "w": record(1)}
    value |= {"count": Dictionary({"x": 1}, "Counter"), "set": Listed("set", [device, (1, Global("torch", "int8"))])}
    found = contents(value, "a.pt")
    kinds = {key: child.kind for key, child in branch(found).items if isinstance(child, Branch)}
    assert kinds == {"sizes": "Size", "count": "Counter", "set": "set"}
    assert branch(found).get("type") == TorchValue("dtype", "int4") and branch(found).get("device") == device
    assert not found.changed


def test_containers_that_torch_does_not_load_without_trust_are_said_to_be_others() -> None:
    odd = Dictionary({"w": record(1)})
    odd.attributes["_metadata"] = Dictionary({"": {"version": 1}})
    same, odd.attributes["more"] = contents(odd, "a.pt"), 1
    assert not same.changed
    value = {"deque": Listed("deque", [1]), "frozen": Listed("frozenset", [1]), "really": frozenset({2})}
    value |= {"sets": Listed("set", [Listed("frozenset", [1])]), "default": Dictionary({}, "defaultdict"), "odd": odd}
    found = contents(value, "a.pt")
    kinds = {key: child.kind for key, child in branch(found).items if isinstance(child, Branch)}
    made = ["list", "set", "set", "list", "OrderedDict", "OrderedDict"]
    assert kinds == dict(zip(value, made, strict=True))
    assert {name.partition(".")[0] for names in found.changed.values() for name in names} == value.keys()


def test_objects_without_names_of_their_values_are_tuples() -> None:
    metrics = Object(Global("my", "Metrics"), (0.5, record(1)), called=False)
    found = contents({"m": metrics, "w": record(1)}, "a.pt")
    assert list(found.tensors) == ["m.1", "w"] and found.changed == {"objects as tuples": ["m"]}
    extended = Object(Global("my", "Settings"), (1,), called=False, items=[("a", 2)])
    assert dict(scalars(contents(extended, "a.pt").root)) == {"a": 2, "args.0": 1}
    made = Object(Global("my", "Space"), states=[{"a": 2}])
    assert dict(scalars(contents(made, "a.pt").root)) == {"a": 2}


def test_states_of_objects_may_be_anything() -> None:
    made = Object(Global("my", "Meter"), called=False, states=[(record(1), 3)])
    found = contents({"m": made}, "a.pt")
    assert list(found.tensors) == ["m.state.0"] and dict(scalars(found.root)) == {"m.state.1": 3}
    slotted = Object(Global("my", "Meter"), called=False, states=[(None, {"count": 2})])
    assert dict(scalars(contents(slotted, "a.pt").root)) == {"count": 2}


def test_objects_that_refer_to_what_they_are_in_are_cut() -> None:
    whole, part = Object(Global("my", "Config"), called=False), Object(Global("my", "Part"), called=False)
    whole.states, part.states = [{"a": part, "b": part}], [{"parent": whole, "lr": 0.1}]
    found = contents({"c": whole, "w": record(1)}, "a.pt")
    assert dict(scalars(found.root)) == {"c.a.lr": 0.1, "c.b.lr": 0.1}
    assert found.opaque == ["c.a.parent", "c.b.parent"]


def test_tensors_whose_names_meet_are_told_apart() -> None:
    found = contents({"a": {"b": record(1)}, "a.b": record(2), 0: record(3), "0": [record(4)]}, "a.pt")
    assert {name: tensor.shape[0] for name, tensor in found.tensors.items()} == {"a.b": 1, "a.b#2": 2, "0": 3, "0.0": 4}
    assert branch(found).get("a.b") == Leaf("a.b#2")
    assert list(found.changed.values()) == [["a.b#2"]]
    met = contents({"c": [record(1)], "c.0#2": record(2), "c.0": record(3), "model": {"w": record(4)}}, "a.pt")
    assert {name: tensor.shape[0] for name, tensor in met.tensors.items()} == {"c.0": 1, "c.0#2": 2, "c.0#3": 3, "w": 4}


def test_values_of_an_object_whose_keys_meet_are_told_apart() -> None:
    made = Object(Global("my", "Settings"), states=[{"lr": 0.1}], items=[("lr", 0.2), (0, record(1))], elements=[3])
    found = contents({"o": made, b"w": 1, "w": 2}, "a.pt")
    assert dict(scalars(found.root)) == {"o.lr": 0.1, "o.lr 1": 0.2, "o.0 3": 3, "w 1": 1, "w": 2}
    assert "keys of dictionaries as text" in found.changed


def test_sharing_and_depth_are_bounded() -> None:
    shared: list[object] = []
    for _ in range(50):
        shared = [shared, shared]  # 2**50 paths
    with pytest.raises(LimitError):
        contents(shared, "a.pt", limits=Limits(tensors=1000))
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(LimitError):
        contents(endless, "a.pt")
    with pytest.raises(LimitError):
        contents({"k" * 1000: [0] * 1000}, "a.pt", limits=Limits(pickle_bytes=10_000))


@pytest.mark.parametrize("kind", [list, tuple, lambda pair: dict(enumerate(pair))])
def test_containers_that_hold_each_other_twice_at_every_level(kind) -> None:
    value: object = [1]
    for _ in range(40):
        value = kind((value, value))
    begin = time.process_time()
    with pytest.raises(LimitError):
        contents(value, "a.pt")
    assert time.process_time() - begin < 20


def test_a_container_may_be_held_by_many() -> None:
    shared = [1, 2, 3]
    assert len(list(scalars(contents([shared] * 50_000, "a.pt").root))) == 150_000


def test_modules_that_hold_each_other_are_bounded() -> None:
    module: object = None
    for _ in range(40):
        parts = {"_parameters": {}, "_buffers": {}, "_modules": {"a": module, "b": module}}
        module = Object(Global("my", "Net"), called=False, states=[parts])
    begin = time.process_time()
    with pytest.raises(LimitError):
        contents([module], "a.pt")
    assert time.process_time() - begin < 20
