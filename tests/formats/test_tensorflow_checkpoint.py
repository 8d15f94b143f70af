import os
import shutil

import numpy as np
import pytest
from tests import object_checkpoints
from tests.checkpoints import FIXTURES, NAMES, Writer, expected, with_big_endian, with_snappy
from tests.damage import assert_survives

from panmodel.errors import CorruptError, MissingFileError, PanmodelError
from panmodel.formats.tensorflow_checkpoint import FORMAT
from panmodel.io.source import FileSource, Location

TRAINED = FIXTURES / "trained.ckpt"


def read(path):
    return FORMAT.read(Location(path))


def copy(name, folder):
    for file in FIXTURES.glob(f"{name}.ckpt.*"):
        shutil.copy(file, folder / file.name)
    return folder / f"{name}.ckpt"


def test_a_training_checkpoint_with_everything():
    model = read(TRAINED)
    assert model.format == "tensorflow_checkpoint"
    assert model.dialect == "tensorflow"
    assert model.program.variables is model.tensors
    assert list(model.tensors) == sorted(expected("trained"))
    assert model.metadata["framework"] == "tensorflow"
    assert model.metadata["version"] == "1.15.5"
    assert (model.metadata["shards"], model.metadata["endianness"]) == (1, "little")
    assert model.notices == []


def test_the_state_of_training_is_found():
    training = read(TRAINED).training
    values = expected("trained")
    assert (training.step, training.optimizer) == (4, "adam")
    assert training.hyperparameters["beta2_power"] == pytest.approx(0.999**5)
    assert set(training.slots) == {"hidden/bias", "hidden/kernel", "logits/bias", "logits/kernel"}
    for variable, slots in training.slots.items():
        assert np.array_equal(slots["m"].numpy(), values[f"{variable}/Adam"])
        assert np.array_equal(slots["v"].numpy(), values[f"{variable}/Adam_1"])


def test_slots_of_partitioned_variables_are_found():
    training = read(FIXTURES / "partitioned.ckpt").training
    assert (training.step, training.optimizer) == (2, "momentum")
    assert set(training.slots) == {"columns", "model/embedding"}


def test_weights_alone_have_no_graph(tmp_path):
    prefix = copy("trained", tmp_path)
    (tmp_path / "trained.ckpt.meta").unlink()
    model = read(prefix)
    assert model.program is None
    assert len(model.tensors) == len(expected("trained"))


def test_the_state_file_is_metadata():
    assert read(FIXTURES / "checkpoint").metadata["checkpoint"] == {"latest": "trained.ckpt", "all": ["trained.ckpt"]}


def test_byte_order_and_shards_are_metadata(tmp_path):
    with_big_endian(TRAINED, tmp_path / "big.ckpt")
    assert read(tmp_path / "big.ckpt").metadata["endianness"] == "big"
    assert read(FIXTURES / "sharded.ckpt").metadata["shards"] == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_a_checkpoint_is_recognised(name):
    assert all(FORMAT.sniff(Location(path)) for path in FIXTURES.glob(f"{name}.ckpt.*"))
    assert FORMAT.sniff(Location(FIXTURES / f"{name}.ckpt"))
    assert not FORMAT.sniff(Location(FIXTURES / f"{name}.npz"))


def test_folder_and_state_file_are_recognised(tmp_path):
    assert FORMAT.sniff(Location(FIXTURES))
    assert FORMAT.sniff(Location(FIXTURES / "checkpoint"))
    assert not FORMAT.sniff(Location(tmp_path))
    assert not FORMAT.sniff(Location(tmp_path / "absent"))


def test_a_checkpoint_with_something_wrong_is_recognised_so_that_reading_says_what(tmp_path):
    prefix = copy("sharded", tmp_path)
    (tmp_path / "sharded.ckpt.index").unlink()
    data = tmp_path / "sharded.ckpt.data-00000-of-00003"
    for path in (prefix, data):
        assert FORMAT.sniff(Location(path))
        with pytest.raises(MissingFileError, match="index"):
            read(path)


def test_nothing_there():
    with pytest.raises(MissingFileError):
        read("/nonexistent/model.ckpt")


def test_a_truncated_data_file_names_the_tensor(tmp_path):
    prefix = copy("trained", tmp_path)
    os.truncate(tmp_path / "trained.ckpt.data-00000-of-00001", 600)
    with pytest.raises(CorruptError, match=r"'logits/kernel/Adam_1' lies at bytes"):
        read(prefix)


def test_listing_reads_little_of_the_data(tmp_path, monkeypatch):
    prefix = Writer(tmp_path).add("big", np.zeros(1 << 20, np.float32)).add("global_step", np.array(5)).write()
    asked = []
    real = FileSource.readinto

    def counted(self, offset, buffer):
        if ".data-" in self.name:
            asked.append(len(buffer))
        real(self, offset, buffer)

    monkeypatch.setattr(FileSource, "readinto", counted)
    assert read(prefix).training.step == 5
    assert asked == [8]


# Damage: everything is under a checksum, so what is read is right


def everything(path):
    """All that reading gives, from whichever file of the set was damaged."""
    model = read(path)
    found = {"training": model.training and (model.training.step, model.training.optimizer)}
    for name, tensor in model.tensors.items():
        array = tensor.numpy()
        found[name] = (tensor.dtype.name, array.shape, array.tolist() if array.dtype == object else array.tobytes())
    return found


def copy_without_meta(name, folder):
    prefix = copy(name, folder)
    prefix.with_name(f"{name}.ckpt.meta").unlink(missing_ok=True)
    return prefix


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_index_gives_an_error_or_the_right_answer(name, tmp_path):
    prefix = copy_without_meta(name, tmp_path)
    assert_survives(everything, prefix.with_name(f"{name}.ckpt.index"), exact=True)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_data_give_an_error_or_the_right_answer(name, tmp_path):
    copy_without_meta(name, tmp_path)
    assert_survives(everything, next(tmp_path.glob("*.data-00000-of-*")), exact=True)


def test_a_damaged_state_file_gives_an_error_or_the_right_answer(tmp_path):
    copy_without_meta("trained", tmp_path)
    shutil.copy(FIXTURES / "checkpoint", tmp_path)
    assert_survives(everything, tmp_path / "checkpoint", exact=True)


@pytest.mark.parametrize("rewrite", [with_big_endian, with_snappy])
def test_rewritten_checkpoints_survive_damage(rewrite, tmp_path):
    rewrite(FIXTURES / "dtypes.ckpt", tmp_path / "dtypes.ckpt")
    for suffix in ("index", "data-00000-of-00001"):
        assert_survives(everything, tmp_path / f"dtypes.ckpt.{suffix}", cuts=100, flips=400, exact=True)


def test_wrong_index_for_the_data(tmp_path):
    prefix = copy("trained", tmp_path)
    shutil.copy(FIXTURES / "partitioned.ckpt.index", tmp_path / "trained.ckpt.index")
    with pytest.raises(PanmodelError):
        everything(prefix)


@pytest.mark.parametrize("name", object_checkpoints.NAMES)
@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_damaged_object_based_checkpoints_give_an_error_or_the_right_answer(name, suffix, tmp_path):
    for part in ("index", "data-00000-of-00001"):
        shutil.copy(object_checkpoints.FIXTURES / f"{name}.ckpt.{part}", tmp_path)
    assert_survives(everything, tmp_path / f"{name}.ckpt.{suffix}", cuts=100, flips=500, exact=True)
