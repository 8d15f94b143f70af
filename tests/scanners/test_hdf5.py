import json

import numpy as np
import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

h5py = pytest.importorskip("h5py")
LAMBDA = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {"name": "x"}}]}}


def external_link(file):
    file["a/out"] = h5py.ExternalLink("/etc/x.h5", "/secret")


def external_storage(file):
    file.create_dataset("w", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/other.h5", "w", (4,))
    file.create_virtual_dataset("w", layout)


def plugin(file):
    space, kind = h5py.h5s.create_simple((4,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    kind.set_chunk((4,))
    kind.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    h5py.h5d.create(file.id, b"w", h5py.h5t.NATIVE_FLOAT, space, kind)


def described(file):
    file.attrs["model_config"] = json.dumps(LAMBDA)


def pickled(file):
    file.attrs["thing"] = np.void(b"\x80\x02cposix\nsystem\n(S'true'\ntR.")
    file.attrs["text"] = b"\x80\x02cposix\nsystem\n(S'true'\ntR."


def pickled_as_text(file):
    file.attrs["thing"] = np.bytes_(b"cposix\nsystem\n(S'true'\ntR.")


HOSTILE = {
    external_link: "PM-HDF5-EXTERNAL",
    external_storage: "PM-HDF5-EXTERNAL",
    virtual: "PM-HDF5-EXTERNAL",
    plugin: "PM-HDF5-FILTER",
    described: "PM-KERAS-LAMBDA",
    pickled: "PM-PICKLE-GLOBAL",
    pickled_as_text: "PM-PICKLE-GLOBAL",
}


def written(path, fill, **options):
    with h5py.File(path, "w", **options) as file:
        file["plain/w"] = np.arange(6.0)
        fill(file)
    return path.read_bytes()


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("fill", HOSTILE, ids=lambda fill: fill.__name__)
def test_what_leads_out_is_dangerous(tmp_path, fill, libver):
    found = scan_bytes(tmp_path, written(tmp_path / "x.h5", fill, libver=libver))
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {HOSTILE[fill]})


def test_behind_foreign_bytes_it_is_still_seen(tmp_path):
    data = written(tmp_path / "x.h5", external_link, userblock_size=512)
    assert scan_bytes(tmp_path, b"text" + data[4:]).verdict is DANGEROUS


def test_plain_files_are_clean(tmp_path):
    def fill(file):
        file.create_dataset("z", data=np.ones((8, 8)), compression="gzip", shuffle=True, fletcher32=True)
        file["soft"] = h5py.SoftLink("/plain/w")
        file.attrs["model_config"] = json.dumps({"class_name": "Dense", "config": {"units": 1}})

    found = scan_bytes(tmp_path, written(tmp_path / "x.h5", fill))
    assert (found.verdict, rules_of(found)) == (CLEAN, {"PM-HDF5-SOFT-LINK"})


def test_damage_is_undecided_and_hides_nothing(tmp_path):
    data = written(tmp_path / "x.h5", external_link)
    assert scan_bytes(tmp_path, data[:-1000]).verdict is not CLEAN
    assert scan_bytes(tmp_path, data[:300]).verdict is UNDECIDED


def test_more_groups_than_are_looked_at_are_undecided(tmp_path, monkeypatch):
    from panmodel.scanners import hdf5

    monkeypatch.setattr(hdf5, "_GROUPS", 5)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(10):
            file.create_group(f"g{number}")
    found = scan_bytes(tmp_path, (tmp_path / "many.h5").read_bytes())
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-UNFINISHED"})


@pytest.mark.parametrize(("name", "value"), [("PSEUDOATOM", "object"), ("base_type", b"pickle")])
def test_datasets_that_libraries_unpickle_are_undecided(tmp_path, name, value):
    def fill(file):
        file.create_dataset("o", (1,), h5py.vlen_dtype(np.uint8)).attrs[name] = np.bytes_(value)

    found = scan_bytes(tmp_path, written(tmp_path / "a.h5", fill))
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-HDF5-OBJECTS"})
