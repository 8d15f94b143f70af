"""The HDF5 reader against the HDF5 library, value by value."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.damage import assert_survives

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsafeError, UnsupportedError
from panmodel.io.source import FileSource, MemorySource
from panmodel.wire.hdf5 import CommittedType, Dataset, Empty, Foreign, Group, foreign, is_hdf5, read_file, walk

h5py = pytest.importorskip("h5py")
VERSIONS = ("earliest", "v108", "v110", "latest")
NUMBERS = [
    "<i1",
    "<i2",
    "<i4",
    "<i8",
    ">i2",
    ">i4",
    ">i8",
    "<u1",
    "<u2",
    "<u4",
    "<u8",
    ">u8",
    "<f2",
    "<f4",
    "<f8",
    ">f2",
    ">f4",
    ">f8",
    "<c8",
    "<c16",
    ">c8",
    "?",
]


def numbers(dtype, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def encoded(value):
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def assert_same(found, expected):
    """What the reader gives must be what h5py gives, bit for bit."""
    if isinstance(expected, h5py.Empty):
        assert isinstance(found, Empty)
    elif isinstance(expected, str | bytes):
        assert encoded(found) == encoded(expected)
    elif np.asarray(expected).dtype.kind in "SO":
        assert found.shape == expected.shape
        assert [encoded(value) for value in found.ravel()] == [encoded(value) for value in expected.ravel()]
    else:
        right = np.asarray(expected)
        right = right.astype(right.dtype.newbyteorder("<"))
        left = np.asarray(found, right.dtype)
        assert left.shape == right.shape and left.tobytes() == right.tobytes()


def assert_same_dataset(found, expected):
    value = found.numpy()
    assert_same(value if value.ndim else value[()], expected[()])
    if found.dtype.bits:
        assert b"".join(bytes(piece) for piece in found.chunks(1000)) == value.tobytes()
        assert all(len(piece) <= 1000 for piece in found.chunks(1000))
    if found.extent:
        assert found.extent.read() == value.tobytes()


def assert_same_file(path):
    root, many = read_file(FileSource(path)), 0
    with h5py.File(path) as file:
        objects = [(root, file["/"]), *((item, file[name]) for name, item in walk(root))]
        for found, expected in objects:
            assert list(found.attributes) == list(expected.attrs)
            for name in found.attributes:
                assert_same(found.attributes[name], expected.attrs[name])
            if isinstance(found, Group):
                assert list(found.members) == list(expected)
            else:
                assert_same_dataset(found, expected)
            many += 1
    return many


@pytest.mark.parametrize("version", VERSIONS)
def test_numbers_in_every_byte_order(tmp_path, version):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=version) as file:
        for dtype, shape in itertools.product(NUMBERS, [(), (3, 4), (0, 2)]):
            file[f"{dtype} {shape}"] = numbers(dtype, shape)
            file.attrs[f"{dtype} {shape}"] = numbers(dtype, shape, seed=1)
    assert assert_same_file(path) == 1 + 3 * len(NUMBERS)
    root = read_file(FileSource(path))
    big = root[">f4 (3, 4)"]
    assert (big.dtype, big.big_endian, big.extent, big.stored.nbytes) == (dtypes.FLOAT32, True, None, 48)
    assert root["? (3, 4)"].dtype is dtypes.BOOL


@pytest.mark.parametrize("version", VERSIONS)
def test_strings(tmp_path, version):
    path = tmp_path / "model.h5"
    text = h5py.string_dtype()
    many = np.array([f"{number}" * (number % 7) for number in range(100)], object).reshape(20, 5)
    with h5py.File(path, "w", libver=version) as file:
        file.create_dataset("variable", data=["a", "ü", "", "x" * 5000], dtype=text)
        file.create_dataset("scalar", data="hello", dtype=text)
        file.create_dataset("fixed", data=np.array([b"ab", b"", b"abc"]))
        file.create_dataset("chunked", data=many, dtype=text, chunks=(3, 2), compression="gzip")
        file.attrs["text"], file.attrs["bytes"] = "grüße", np.bytes_("bytes")
        file.attrs["list"], file.attrs["fixed"] = ["a", "bb"], np.array([b"a", b"bb"])
        file.attrs["long"] = ["x" * number for number in range(500)]
        file.attrs["nothing"] = h5py.Empty("f4")
    assert_same_file(path)
    attributes = read_file(FileSource(path)).attributes
    assert (attributes["text"], attributes["bytes"]) == ("grüße", b"bytes")
    assert (attributes["list"].tolist(), attributes["fixed"].tolist()) == (["a", "bb"], [b"a", b"bb"])
    assert attributes["nothing"].datatype.dtype is dtypes.FLOAT32


@pytest.mark.parametrize("version", VERSIONS)
def test_other_types(tmp_path, version):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=version) as file:
        file["opaque"] = np.frombuffer(b"abcdef", "V2")
        file.create_dataset("enum", data=np.array([1, 2, 1]), dtype=h5py.enum_dtype({"A": 1, "B": 2}))
        file.create_dataset("arrays", shape=(9,), dtype=np.dtype(("<f4", (2, 3))), chunks=(4,))[...] = np.ones(
            (9, 2, 3)
        )
        file["compound"] = np.zeros(3, [("a", "i4"), ("b", "f8")])
        file.create_dataset("reference", data=np.array([file["enum"].ref]), dtype=h5py.ref_dtype)
        file.create_dataset("null", data=h5py.Empty("f4"))
        file.create_dataset("unstored", shape=(5, 5), dtype=">f4", fillvalue=7)
        file["type"] = np.dtype("<f4")
        file.create_dataset("committed", data=np.arange(3.0), dtype=file["type"])
        file.attrs["reference"] = file["enum"].ref
    root = read_file(FileSource(path))
    assert (root["opaque"].dtype, root["opaque"].numpy().tobytes()) == (None, b"abcdef")
    assert root["opaque"].extent.read() == b"".join(root["opaque"].chunks()) == b"abcdef"
    assert root["enum"].numpy().tolist() == [1, 2, 1]
    assert (root["arrays"].shape, root["arrays"].numpy().sum()) == ((9, 2, 3), 54)
    assert (root["null"].null, root["null"].numpy().shape) == (True, (0,))
    assert root["unstored"].numpy().tolist() == [[7.0] * 5] * 5
    assert isinstance(root["type"], CommittedType) and root["committed"].numpy().tolist() == [0, 1, 2]
    for name in ("compound", "reference"):
        assert root[name].dtype is None
        with pytest.raises(UnsupportedError, match=name):
            root[name].numpy()
    with pytest.raises(UnsupportedError, match="attribute 'reference' of /"):
        root.attributes["reference"]


SHAPES = [
    ((10,), None, (3,)),
    ((10,), (None,), (3,)),
    ((10, 7), (10, None), (3, 2)),
    ((10, 7), (20, 20), (15, 20)),
    ((4, 5, 6), (None, 5, None), (1, 2, 3)),
    ((4, 5, 6), (4, None, 6), (2, 2, 5)),
    ((3000,), None, (1,)),
    ((3000,), (None,), (1,)),
    ((60, 60), (None, None), (1, 1)),
    ((0, 3), (None, 3), (2, 2)),
]
FILTERS = [
    {},
    {"compression": "gzip"},
    {"compression": "lzf", "shuffle": True},
    {"fletcher32": True},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
]


@pytest.mark.parametrize("version", VERSIONS)
def test_chunks_and_filters(tmp_path, version):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=version) as file:
        for number, ((shape, most, chunk), how) in enumerate(itertools.product(SHAPES, FILTERS)):
            file.create_dataset(f"{number}", data=numbers(">f4", shape), maxshape=most, chunks=chunk, **how)
        part = file.create_dataset(
            "part", (100, 50), "i2", chunks=(7, 9), maxshape=(None, 50), fillvalue=3, **FILTERS[1]
        )
        part[20:40, 3:30] = 5
        grown = file.create_dataset("grown", (10, 50), "i2", chunks=(7, 9), maxshape=(None, None), fillvalue=3)
        grown[...] = 1
        for shape in ((30, 100), (28, 60)):
            grown.resize(shape)
        for name, most in (("sparse", (None,)), ("sparse pages", None)):
            sparse = file.create_dataset(name, (100_000,), "i2", chunks=(10,), maxshape=most, fillvalue=-1)
            sparse[77777] = 5
    assert_same_file(path)


@pytest.mark.parametrize("version", VERSIONS)
def test_layouts_that_only_the_low_level_makes(tmp_path, version):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=version) as file:
        for name in (b"implicit", b"compact"):
            how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            if name == b"implicit":
                how.set_chunk((3, 4))
                how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            else:
                how.set_layout(h5py.h5d.COMPACT)
            made = h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F32BE, h5py.h5s.create_simple((10, 10)), how)
            h5py.Dataset(made)[...] = numbers("f4", (10, 10))
    assert_same_file(path)


@pytest.mark.parametrize(("version", "tracked"), list(itertools.product(VERSIONS, (False, True))))
def test_many_links_and_attributes(tmp_path, version, tracked):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=version, track_order=tracked) as file:
        for number in range(2000):
            file[f"d{number * 7 % 2000}"] = number
        for count in (0, 1, 9, 300):
            group = file.create_group(f"g{count}", track_order=tracked)
            for number in range(count):
                group.attrs[f"a{number * 7 % count}"] = np.arange(number)
                group.create_group(f"s{number * 7 % count}/t/u")
            group["self"] = group
        for number in range(30):
            file.create_group(f"n{number}" * 300)
        if version != "earliest":
            for size in (9_000, 100_000):
                file["g0"].attrs[f"long {size}"] = np.arange(size)
    assert assert_same_file(path) > 2900


@pytest.mark.parametrize(
    "how",
    [
        {"userblock_size": 2048},
        {"userblock_size": 1024, "libver": "latest"},
        {"fs_strategy": "page", "fs_persist": True, "fs_page_size": 4096, "libver": "latest"},
        {"fs_strategy": "none"},
    ],
    ids=lambda how: next(iter(how)),
)
def test_files_with_a_front_or_pages(tmp_path, how):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", **how) as file:
        file["x"], file["text"] = np.arange(100.0), "abc"
        file.create_group("g").attrs["a"] = 1
    assert_same_file(path)
    assert is_hdf5(FileSource(path))


def test_files_with_short_addresses(tmp_path):
    path = tmp_path / "model.h5"
    how = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    how.set_sizes(4, 4)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, how)) as file:
        file["x"], file["text"] = np.arange(10), ["a", "bc"]
        file.create_dataset("chunked", data=np.arange(100), chunks=(7,), compression="gzip")
        file.attrs["text"] = "abc"
    assert_same_file(path)


@st.composite
def chunked(draw):
    shape = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    most = [draw(st.sampled_from([None, extent, extent + 3])) for extent in shape]
    chunk = [
        draw(st.integers(1, max(1, extent if top is not None and top == extent else 9)))
        for extent, top in zip(shape, most, strict=True)
    ]
    chunk = [size if top is None else min(size, max(top, 1)) for size, top in zip(chunk, most, strict=True)]
    most = [top if top is None else max(top, size) for top, size in zip(most, chunk, strict=True)]
    return (
        shape,
        most,
        chunk,
        draw(st.sampled_from(FILTERS)),
        draw(st.sampled_from(NUMBERS)),
        draw(st.sampled_from(VERSIONS)),
    )


@given(case=chunked())
@settings(max_examples=100, deadline=None)
def test_any_chunks(tmp_path_factory, case):
    shape, most, chunk, how, dtype, version = case
    path = tmp_path_factory.mktemp("any") / "model.h5"
    with h5py.File(path, "w", libver=version) as file:
        file.create_dataset("x", data=numbers(dtype, shape), maxshape=most, chunks=tuple(chunk), **how)
    assert_same_file(path)


def test_what_reaches_outside_is_listed_and_refused(tmp_path):
    path = tmp_path / "model.h5"
    (tmp_path / "secret").write_bytes(bytes(40))
    with h5py.File(path, "w", libver="latest") as file:
        file["g/link"] = h5py.ExternalLink("../other.h5", "/x")
        file.create_dataset("storage", (10,), "f4", external=[(str(tmp_path / "secret"), 0, 40)])
        layout = h5py.VirtualLayout((2, 10), "f4")
        layout[0], layout[1, 2:8:2] = h5py.VirtualSource("a.h5", "x", (10,)), h5py.VirtualSource("b.h5", "x", (10,))[:3]
        file.create_virtual_dataset("virtual", layout)
        file["inside"] = h5py.SoftLink("/storage")
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((5,))
        how.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, (1, 2))
        h5py.h5d.create(file.id, b"filtered", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((10,)), how)
        file.create_dataset("scaled", data=np.arange(10), chunks=(5,), scaleoffset=0)
        file.create_dataset("fine", data=np.arange(10), chunks=(5,), compression="gzip", shuffle=True)
    root = read_file(FileSource(path))
    assert sorted(foreign(root), key=lambda item: item.path) == [
        Foreign("third-party filter", "/filtered", "filter 40000 (40000)"),
        Foreign("external link", "/g/link", "../other.h5"),
        Foreign("external storage", "/storage", str(tmp_path / "secret")),
        Foreign("virtual dataset", "/virtual", "a.h5"),
        Foreign("virtual dataset", "/virtual", "b.h5"),
    ]
    for name, error in (
        ("storage", UnsafeError),
        ("virtual", UnsafeError),
        ("inside", UnsafeError),
        ("scaled", UnsupportedError),
    ):
        with pytest.raises(error, match="scaled" if name == "scaled" else "storage|virtual"):
            root[name].numpy()
    with pytest.raises(UnsafeError, match="other"):
        root["g/link"]


def test_shape_bombs_are_listed_and_not_read(tmp_path):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("bomb", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")[0] = 1
        file.create_dataset("unstored", (1 << 40,), "f4")
        file.create_dataset("zeros", data=np.zeros(30 << 20, "u1"), chunks=(1 << 20,), compression="gzip")
    root = read_file(FileSource(path))
    assert root["bomb"].shape == (1 << 40,)
    for name in ("bomb", "unstored"):
        with pytest.raises(LimitError, match=name):
            root[name].numpy()
        with pytest.raises(LimitError, match=name):
            next(root[name].chunks())
    assert not root["zeros"].numpy().any()


def test_flipped_bits_in_checked_chunks_are_found(tmp_path):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(1000), chunks=(1000,), fletcher32=True)
        place = file["x"].id.get_chunk_info(0).byte_offset
    whole = bytearray(path.read_bytes())
    whole[place + 77] ^= 4
    with pytest.raises(CorruptError, match=r"dataset '/x', chunk \(0,\): .* Fletcher-32"):
        read_file(MemorySource(bytes(whole)))["x"].numpy()
    with pytest.raises(TruncatedError):
        read_file(MemorySource(bytes(whole[:-1])))


def read_all(path):
    root, found = read_file(FileSource(path)), {}
    foreign(root)
    for name, item in walk(root):
        try:
            if not isinstance(item, CommittedType):
                found[name] = [str(item.attributes[key]) for key in item.attributes]
            if isinstance(item, Dataset):
                found[name].append(item.numpy().tolist())
        except PanmodelError as error:
            found[name] = [type(error)]
    return found


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
def test_damage_is_survived(tmp_path, version):
    path = tmp_path / "alone" / "model.h5"
    path.parent.mkdir()
    with h5py.File(path, "w", libver=version) as file:
        group = file.create_group("g", track_order=True)
        for number in range(12):
            group[f"d{number}"] = np.arange(number)
            group.attrs[f"a{number}"] = "text" if number % 2 else number
        whole = np.arange(50.0).reshape(5, 10)
        file.create_dataset("fixed", data=whole, chunks=(2, 3), compression="gzip", shuffle=True)
        file.create_dataset("growing", data=whole, chunks=(2, 3), maxshape=(None, 10), fletcher32=True)
        file.create_dataset("free", data=whole, chunks=(2, 3), maxshape=(None, None), compression="lzf")
        file["text"], file["flags"] = ["a", "bc"], np.array([True, False])
        file["soft"], file["external"] = h5py.SoftLink("/text"), h5py.ExternalLink("other.h5", "/x")
    assert_survives(read_all, path, flips=2000)
