"""What the rebuild functions refuse; what they make is judged by torch in tests/interop."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, PanmodelError, UnsupportedError
from panmodel.wire.pickle import Global
from panmodel.wire.torch_names import AllowList
from panmodel.wire.torch_records import (
    ComposedRecord,
    MetaRecord,
    StorageBytes,
    StorageRecord,
    SubclassRecord,
    TensorRecord,
)

INTEGERS = StorageRecord("0", dtypes.INT64, "cpu", 192, StorageBytes(192))
HOOKS: dict[str, object] = {}


def made(name: str, *args: object, module: str = "torch._utils") -> object:
    constructor = AllowList("a.pt", 1000).known[Global(module, name)]
    assert constructor is not None
    return constructor(args)


def tensor(*shape: int) -> TensorRecord:
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return TensorRecord(INTEGERS, dtypes.INT64, 0, shape, tuple(strides))


def torch(name: str) -> Global:
    return Global("torch", name)


VIEWS = [
    (INTEGERS, 1, (24,), (1,)), (INTEGERS, 0, (2,), (24,)), (INTEGERS, -1, (1,), (1,)), (INTEGERS, 0, (1,), (-1,)),
    (INTEGERS, True, (1,), (1,)), (INTEGERS, 0, (True,), (1,)), (INTEGERS, 0, (1, 1), (1,)), (INTEGERS, 0, [1], [1]),
    (INTEGERS, 0, (1 << 62,), (0,)), (None, 0, (1,), (1,)), (INTEGERS, 0.0, (1,), (1,)), (INTEGERS, 1 << 63, (), ()),
]  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_no_function_takes_a_view_beyond_its_storage(view: tuple[object, ...]) -> None:
    for name, more in (
        ("_rebuild_tensor", ()),
        ("_rebuild_tensor_v2", (False, HOOKS)),
        ("_rebuild_tensor_v3", (False, HOOKS, torch("int64"))),
        ("_rebuild_qtensor", ((torch("per_tensor_affine"), 0.5, 0), False, HOOKS)),
    ):
        with pytest.raises(CorruptError):
            made(name, *view, *more)
    record = made("LongTensor", module="torch")
    with pytest.raises(CorruptError):
        AllowList("a.pt", 1000).set_state(record, view)


def test_ranks_are_bounded() -> None:
    with pytest.raises(LimitError, match="65 dimensions"):
        made("_rebuild_tensor", INTEGERS, 0, (1,) * 65, (1,) * 65)
    with pytest.raises(LimitError, match="65 dimensions"):
        made("_rebuild_meta_tensor_no_storage", torch("int64"), (1,) * 65, (1,) * 65, False)


@given(st.lists(st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just(INTEGERS), st.just(tensor(2, 3)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)), st.just(torch("int64")), st.just(torch("sparse_coo")), st.just({}),
), max_size=9), st.data())  # fmt: skip
def test_only_errors_of_ours_come_of_any_arguments(args: list[object], data: st.DataObject) -> None:
    known = AllowList("a.pt", 1000).known
    constructor = known[data.draw(st.sampled_from([key for key, value in known.items() if value is not None]))]
    assert constructor is not None
    with contextlib.suppress(PanmodelError):
        constructor(tuple(args))


@pytest.mark.parametrize("how", [
    (), None, (torch("per_tensor_affine"),), (torch("per_tensor_affine"), 1, 0), (torch("per_tensor_affine"), 1.0, 0.5),
    (torch("per_channel_affine"), [1.0], [0], 1), (torch("per_channel_affine"), [1.0], [0], -1),
    (torch("per_channel_affine"), [1.0, 2.0], [0], 0), (torch("per_channel_affine"), tensor(3), tensor(2), 0),
    (torch("per_channel_affine"), ["1", "2"], [0, 0], 0),
])  # fmt: skip
def test_quantizers_that_do_not_fit_are_refused(how: object) -> None:
    with pytest.raises((CorruptError, UnsupportedError)):
        made("_rebuild_qtensor", INTEGERS, 0, (2,), (1,), how, False, HOOKS)


@pytest.mark.parametrize(("layout", "parts"), [
    ("sparse_coo", (tensor(2, 3), tensor(4), (4, 4))),
    ("sparse_coo", (tensor(2, 3), tensor(3), (4,))),
    ("sparse_coo", (tensor(2, 3), tensor(3, 5), (4, 4, 6))),
    ("sparse_coo", (tensor(6), tensor(3), (4, 4))),
    ("sparse_coo", (tensor(2, 3), tensor(3), (4, -4))),
    ("sparse_coo", (None, tensor(3), (4, 4))),
    ("sparse_csr", (tensor(4), tensor(3), tensor(3), (4, 4))),
    ("sparse_csr", (tensor(5), tensor(3), tensor(2), (4, 4))),
    ("sparse_csr", (tensor(5), tensor(3), tensor(3), (4,))),
    ("sparse_csc", (tensor(5), tensor(3), tensor(3), (4, 5))),
    ("sparse_bsr", (tensor(3), tensor(3), tensor(3), (4, 4))),
    ("sparse_bsr", (tensor(3), tensor(1), tensor(1, 3, 2), (4, 4))),
    ("sparse_bsr", (tensor(3), tensor(0), tensor(0, 0, 2), (4, 4))),
    ("strided", (tensor(3),)),
    ("sparse_csr", (tensor(5),)),
])  # fmt: skip
def test_sparse_parts_that_do_not_fit_are_refused(layout: str, parts: tuple[object, ...]) -> None:
    with pytest.raises((CorruptError, UnsupportedError)):
        made("_rebuild_sparse_tensor", torch(layout), parts)


def test_sparse_parts_that_fit() -> None:
    record = made("_rebuild_sparse_tensor", torch("sparse_csr"), (tensor(5), tensor(3), tensor(3), (4, 6)))
    assert isinstance(record, ComposedRecord)
    assert list(record.components) == ["crow_indices", "col_indices", "values"]
    record = made("_rebuild_sparse_tensor", torch("sparse_coo"), (tensor(2, 3), tensor(3), (4, 4), True))
    assert isinstance(record, ComposedRecord) and record.coalesced is True


def test_variables_and_tensors_of_the_first_versions() -> None:
    names = AllowList("a.pt", 1000)
    old = made("LongTensor", module="torch")
    names.set_state(old, (INTEGERS, 2, (3,), (1,)))
    assert isinstance(old, TensorRecord)
    assert (old.dtype, old.offset, old.shape) == (dtypes.INT64, 2, (3,))
    parameter = made("Parameter", tensor(2), module="torch.nn.parameter")
    names.set_state(parameter, (False, False, {}))
    assert isinstance(parameter, TensorRecord)
    assert (parameter.parameter, parameter.requires_grad) == (True, False)
    names.set_state(old, (tensor(4), None, {}, True, False))
    assert (old.shape, old.requires_grad) == ((4,), True)
    with pytest.raises(CorruptError, match="as state of a tensor"):
        names.set_state(old, (1, 2))


def test_subclasses_are_named_and_not_looked_up() -> None:
    own, cls = Global("own", "rebuild"), Global("own", "Own")
    record = made("_rebuild_from_type_v2", own, cls, (1, 2), {"a": 3}, module="torch._tensor")
    assert isinstance(record, SubclassRecord)
    assert (record.cls, record.args, record.state) == (cls, (1, 2), {"a": 3})
    meta = Global("torch._utils", "_rebuild_meta_tensor_no_storage")
    parts = (torch("float16"), (2,), (1,), False)
    plain = made("_rebuild_from_type_v2", meta, torch("Tensor"), parts, None, module="torch._tensor")
    assert isinstance(plain, MetaRecord)
    with pytest.raises(UnsupportedError, match=r"torch\.float128"):
        made("_rebuild_meta_tensor_no_storage", torch("float128"), (2,), (1,), False)


@pytest.mark.parametrize("args", [
    (), ("f", Global("own", "Own"), ()), (Global("own", "f"), "Own", ()),
    (Global("own", "f"), Global("own", "Own"), [1]),
])  # fmt: skip
def test_types_are_rebuilt_by_a_function_from_values(args: tuple[object, ...]) -> None:
    with pytest.raises(CorruptError, match="other things than a function, a type and values"):
        made("_rebuild_from_type_v2", *args, *[None] * bool(args), module="torch._tensor")


@pytest.mark.parametrize(("layout", "pointers", "plain", "values", "shape"), [
    ("sparse_csr", (5,), (3,), (3,), (4, 6)),
    ("sparse_csc", (7,), (3,), (3,), (4, 6)),
    ("sparse_csr", (2, 5), (2, 3), (2, 3), (2, 4, 6)),  # batches
    ("sparse_csr", (5,), (3,), (3, 2), (4, 6, 2)),  # of rows
    ("sparse_bsr", (3,), (2,), (2, 2, 3), (4, 6)),
    ("sparse_bsc", (3,), (2,), (2, 2, 3), (4, 6)),
    ("sparse_bsr", (3,), (2,), (2, 2, 3, 2), (4, 6, 2)),
])  # fmt: skip
def test_compressed_parts_that_fit(
    layout: str, pointers: tuple[int, ...], plain: tuple[int, ...], values: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    parts = (tensor(*pointers), tensor(*plain), tensor(*values))
    record = made("_rebuild_sparse_tensor", torch(layout), (*parts, shape))
    assert isinstance(record, ComposedRecord)
    assert (record.layout, record.shape, tuple(record.components.values())) == (layout, shape, parts)
    with pytest.raises(CorruptError):
        made("_rebuild_sparse_tensor", torch(layout), (*parts, (*shape, 1)))
    compressed = len(pointers) - 1 + (layout in ("sparse_csc", "sparse_bsc"))
    longer = tuple(size + (axis == compressed) for axis, size in enumerate(shape))
    with pytest.raises(CorruptError):
        made("_rebuild_sparse_tensor", torch(layout), (*parts, longer))


def test_quantizers_that_fit() -> None:
    scales, zeros = tensor(2), tensor(2)
    for how in ((scales, zeros, 0), ([0.5, 1.0], [0, 3], 0)):
        record = made("_rebuild_qtensor", INTEGERS, 0, (2,), (1,), (torch("per_channel_affine"), *how), False, HOOKS)
        assert isinstance(record, TensorRecord) and record.quantizer is not None
        assert (record.quantizer.scale, record.quantizer.zero_point, record.quantizer.axis) == how


@pytest.mark.parametrize("kind", [None, "int64", Global("own", "int64")])
def test_element_types_are_names_of_torch(kind: object) -> None:
    with pytest.raises(CorruptError, match="as element type"):
        made("_rebuild_meta_tensor_no_storage", kind, (2,), (1,), False)


def test_tensors_of_a_type_know_whether_it_is_torch_s_own() -> None:
    rebuild, view = Global("torch._utils", "_rebuild_tensor_v2"), (INTEGERS, 0, (2,), (1,), False, HOOKS)
    plain = made("_rebuild_from_type_v2", rebuild, torch("Tensor"), view, {"a": 1}, module="torch._tensor")
    assert isinstance(plain, TensorRecord) and plain.state == {"a": 1} and not plain.parameter
    own = made("_rebuild_from_type_v2", rebuild, Global("own", "Own"), view, {"a": 1}, module="torch._tensor")
    assert isinstance(own, SubclassRecord) and isinstance(own.inner, TensorRecord)
    assert (own.cls, own.dtype, own.shape, own.state) == (Global("own", "Own"), dtypes.INT64, (2,), {"a": 1})
