from __future__ import annotations

import pytest

from panmodel import dtypes
from panmodel.errors import LimitError
from panmodel.model.torch.modules import (
    TRACED,
    attributes,
    held_by_script,
    is_module,
    is_script_object,
    is_traced,
    is_uninitialized,
    module_contents,
    quantized_convolution,
)
from panmodel.wire.pickle import Dictionary, Global, Object
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord

STORAGE = StorageRecord("0", dtypes.FLOAT32, "cpu", 16, StorageBytes(16))


def tensor() -> TensorRecord:
    return TensorRecord(STORAGE, dtypes.FLOAT32, 0, (2,), (1,))


def module(
    name: str = "Net",
    *,
    parameters: dict[object, object] | None = None,
    buffers: dict[object, object] | None = None,
    modules: dict[object, object] | None = None,
    **more: object,
) -> Object:
    parts = {"_parameters": Dictionary(parameters), "_buffers": buffers or {}, "_modules": Dictionary(modules), **more}
    return Object(Global("my.nets", name), called=False, states=[parts])


def test_the_order_is_that_of_torch() -> None:
    inner = module("Inner", parameters={"w": tensor(), "none": None}, buffers={"mean": tensor()})
    outer = module(
        parameters={"scale": tensor()},
        buffers={"kept": tensor(), "passing": tensor(), "absent": None},
        modules={"first": inner, "gone": None, "second": module(modules={"deep": inner})},
        _non_persistent_buffers_set={"passing"},
    )
    found = module_contents(outer, "a.pt")
    assert list(found.state_dict) == [
        "scale",
        "kept",
        "first.w",
        "first.mean",
        "second.deep.w",
        "second.deep.mean",
    ]
    assert found.state_dict["first.w"] is found.state_dict["second.deep.w"]
    assert list(found.tree) == ["", "first", "second", "second.deep"]
    assert found.tree[""]["non_persistent_buffers"] == ["passing"]


def test_settings_and_hooks_are_told() -> None:
    hook = Object(Global("torch.nn.utils.weight_norm", "WeightNorm"), called=False)
    given = module(
        training=False,
        kernel_size=(3, 3),
        eps=1e-5,
        label="x",
        many=[0] * 99,
        odd=hook,
        _private=1,
        _forward_pre_hooks={0: hook},
        _backward_hooks={},
    )
    told = module_contents(given, "a.pt").tree[""]
    assert told == {
        "class": "my.nets.Net",
        "training": False,
        "hooks": ["_forward_pre_hooks"],
        "kernel_size": [3, 3],
        "eps": 1e-5,
        "label": "x",
    }


def test_settings_do_not_pass_for_what_is_told_of_the_module() -> None:
    told = module_contents(module(**{"class": "os.system", "hooks": "none"}), "a.pt").tree[""]
    assert told["class"] == "my.nets.Net"


def test_tensors_that_are_no_part_of_the_state_dict_are_named() -> None:
    weight = tensor()
    inner = module(parameters={"w": weight}, anchors=tensor(), same=weight)
    assert module_contents(module(modules={"a": inner}), "a.pt").unregistered == ["a.anchors"]


def test_what_is_a_module() -> None:
    assert is_module(module())
    assert not is_module(Object(Global("my", "Thing"), states=[{"_parameters": {}, "_modules": {}}]))
    assert not is_module(Object(Global("my", "Thing"), states=[{"_parameters": [], "_buffers": {}, "_modules": {}}]))
    assert not is_module({"_parameters": {}, "_buffers": {}, "_modules": {}})


def test_states_with_slots() -> None:
    item = Object(Global("my", "Thing"), states=[{"a": 1}, (None, {"b": 2}), ({"c": 3}, None), 7])
    assert attributes(item) == {"a": 1, "b": 2, "c": 3}


def test_a_module_in_itself_is_refused() -> None:
    parts: dict[object, object] = {}
    endless = module(modules=parts)
    state = endless.states[0]
    assert isinstance(state, dict)
    state["_modules"] = {"again": endless}
    with pytest.raises(LimitError, match="within themselves"):
        module_contents(endless, "a.pt")


def test_what_torch_fx_traced_is_a_module_with_code() -> None:
    body = {"_parameters": Dictionary({"w": tensor()}), "_buffers": {}, "_modules": Dictionary(), "_code": "\nx = w"}
    traced = Object(TRACED, (body, "import torch"))
    found = module_contents(module(modules={"inner": traced}), "a.pt")
    assert list(found.state_dict) == ["inner.w"]
    assert found.tree["inner"] == {"class": "torch.fx.graph_module.GraphModule"}
    assert found.code == {"inner": "import torch\nx = w"}
    early = Object(TRACED, ({**body, "_code": None, "code": "x"},))
    assert module_contents(early, "a.pt").code == {"": "x"}


def test_other_calls_are_not_taken_for_what_torch_fx_traced() -> None:
    body = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    others = [Object(TRACED, (body, 1)), Object(TRACED, ("x", "y")), Object(TRACED), Object(TRACED, (body,), {"a": 1})]
    others += [Object(TRACED, (body, ""), called=False), Object(Global("torch.fx", "x"), (body, ""))]
    assert not any(is_traced(other) or is_module(other) for other in others)


def test_parameters_of_lazy_modules_are_made_of_whether_they_take_gradients() -> None:
    name = Global("torch.nn.parameter", "UninitializedParameter")
    assert is_uninitialized(Object(name, (True,)))
    others = [Object(name), Object(name, ("x",)), Object(name, (True,), {"a": 1}), Object(name, (True,), called=False)]
    assert not any(
        map(is_uninitialized, [*others, Object(Global("torch.nn.parameter", "Buffer"), (True,)), name, None])
    )


def test_objects_of_torchscript_are_what_they_hold() -> None:
    name, weights = Global("torch", "ScriptObject"), (tensor(), tensor())
    packed = Object(name, called=False, states=[(weights, "__torch__.torch.classes.quantized.Packed")])
    assert is_script_object(packed)
    assert held_by_script(packed) is weights
    assert held_by_script(Object(name, called=False, states=[weights])) is weights
    assert list(module_contents(module(packed=packed), "a.pt").state_dict) == ["packed"]
    others = [Object(name, called=False), Object(name, states=[weights]), Object(name, (1,), called=False, states=[0])]
    assert not any(map(is_script_object, [*others, name, None]))


def test_quantized_convolutions_are_a_tuple() -> None:
    settings = (1, 2, (3, 3), (1, 1), (0, 0), (1, 1), False, (0, 0), 1, "zeros")
    state = (*settings, tensor(), None, 0.5, 64, False)
    own = Object(Global("torch.ao.nn.quantized.modules.conv", "Conv2d"), called=False, states=[state])
    found = module_contents(module(modules={"a": own}), "a.pt")
    assert found.state_dict == {"a.weight": state[10], "a.bias": None, "a.scale": 0.5, "a.zero_point": 64}
    assert found.tree["a"]["kernel_size"] == [3, 3] and found.tree["a"]["training"] is False
    others = [(own.cls, state[:-1]), (own.cls, (*state[:10], 1, *state[11:])), (Global("my.nets", "Conv2d"), state)]
    assert not any(quantized_convolution(Object(cls, called=False, states=[held])) for cls, held in others)


def test_modules_with_a_state_of_their_own_form_keep_their_place() -> None:
    own = Object(Global("torch.ao.nn.quantized.modules.conv", "Conv2d"), called=False, states=[(1, tensor())])
    whole = module(modules={"a": own, "b": module(parameters={"w": tensor()})})
    found = module_contents(whole, "a.pt")
    assert list(found.state_dict) == ["a", "b.w"]
    assert found.state_dict["a"] is own
    assert found.tree["a"] == {"class": "torch.ao.nn.quantized.modules.conv.Conv2d"}
