import shutil

import numpy as np
import pytest
from tests.checkpoints import FIXTURES, expected
from tests.damage import assert_survives
from tests.slice_tables import SliceTable

import panmodel as pm
from panmodel.errors import MissingFileError
from panmodel.formats.tensorflow_checkpoint_v1 import FORMAT
from panmodel.io.source import Location
from panmodel.model.notice import TensorsIncomplete


def read(path):
    return FORMAT.read(Location(path))


def test_a_checkpoint_with_its_graph():
    model = read(FIXTURES / "v1.ckpt")
    assert model.format == "tensorflow_checkpoint_v1"
    assert model.dialect == "tensorflow"
    assert model.program.variables is model.tensors
    assert set(model.tensors) == set(expected("v1"))
    assert (model.metadata["version"], model.metadata["shards"]) == ("1.15.5", 1)
    assert model.training.step == expected("v1")["global_step"]


def test_shards():
    model = read(FIXTURES / "v1s.ckpt")
    assert model.program is None
    assert model.metadata["shards"] == 3
    assert set(model.tensors) == set(expected("v1s"))


@pytest.mark.parametrize("name", ["v1.ckpt", "v1.ckpt.meta", "v1s.ckpt", "v1s.ckpt-00002-of-00003"])
def test_every_file_is_recognised_by_this_format_alone(name):
    assert pm.formats.detect(Location(FIXTURES / name)) is FORMAT


def test_other_files_are_not():
    for name in ("trained.ckpt", "trained.ckpt.index", "v1.npz", "absent"):
        assert not FORMAT.sniff(Location(FIXTURES / name))
    with pytest.raises(MissingFileError):
        read(FIXTURES / "absent")


def test_the_graph_converts(tmp_path):
    report = pm.convert(FIXTURES / "v1.ckpt", tmp_path / "net.onnx", inputs=["inputs:0"], outputs=["outputs:0"])
    assert report.tensors == 1
    kernel = next(iter(pm.read(tmp_path / "net.onnx").tensors.values()))
    assert np.array_equal(kernel.numpy(), expected("v1")["kernel"])


def test_weights_go_to_the_second_format(tmp_path):
    pm.convert(FIXTURES / "v1.ckpt", tmp_path / "new.ckpt", weights_only=True)
    for name, tensor in pm.read(tmp_path / "new.ckpt").tensors.items():
        assert tensor.numpy().tolist() == expected("v1")[name].tolist()


def test_missing_slices_are_a_notice(tmp_path):
    from tests.checkpoints import box

    made = SliceTable().add("t", np.ones((2, 4), np.float32), shape=(7, 4), box=box((0, 2), None))
    model = read(made.write(tmp_path / "a"))
    assert [type(notice) for notice in model.notices] == [TensorsIncomplete]


def everything(path):
    model = read(path)
    found = {"step": model.training and model.training.step}
    for name, tensor in model.tensors.items():
        array = tensor.numpy()
        found[name] = (tensor.dtype.name, array.shape, array.tolist() if array.dtype == object else array.tobytes())
    return found


@pytest.mark.parametrize("name", ["v1.ckpt", "v1s.ckpt-00001-of-00003"])
def test_damage_gives_an_error_or_the_right_answer(name, tmp_path):
    stem = name.partition("-")[0]
    for path in FIXTURES.glob(f"{stem}*"):
        if path.suffix not in (".meta", ".npz"):
            shutil.copy(path, tmp_path)
    assert_survives(everything, tmp_path / name, exact=True)


def test_damage_to_compressed_blocks(tmp_path):
    made = SliceTable().add("a", np.arange(40, dtype=np.float32)).add("b", np.array([b"x", b"yy"], object))
    assert_survives(everything, made.write(tmp_path / "a.ckpt", snappy=True), cuts=100, flips=600, exact=True)
