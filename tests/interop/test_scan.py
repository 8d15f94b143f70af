"""What the frameworks themselves write is clean; whole modules of somebody's own classes are not decided."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of

from panmodel.scan import scan

torch = pytest.importorskip("torch")
nn = torch.nn


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.act = nn.functional.relu

    def forward(self, x):
        return self.act(self.first(x))


def net():
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), act=nn.GELU(), last=nn.LSTM(2, 2), e=nn.Embedding(3, 2)
        )
    )


def training():
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    return state | {"epoch": 3, "rng": torch.get_rng_state(), "numpy": np.random.get_state(), "loss": np.float64(2)}


def odd_tensors():
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 2, torch.qint8)
    sparse = torch.eye(3).to_sparse()
    plain = {str(kind): torch.zeros(2, dtype=kind) for kind in (torch.bfloat16, torch.complex64, torch.float8_e5m2)}
    return plain | {
        "q": quantized,
        "s": sparse,
        "csr": torch.eye(3).to_sparse_csr(),
        "meta": torch.ones(2, device="meta"),
    }


BENIGN = {
    "state dict": lambda: net().state_dict(),
    "training": training,
    "odd tensors": odd_tensors,
    "layers of PyTorch": net,
    "transformer": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 1),
    "parameter": lambda: nn.Parameter(torch.ones(2)),
    "sizes and devices": lambda: {"size": torch.Size([1, 2]), "device": torch.device("cpu"), "dtype": torch.float16},
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", BENIGN)
def test_what_torch_saves_is_clean(tmp_path, kind, zipped):
    torch.save(BENIGN[kind](), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = scan(tmp_path / "a.pt")
    assert found.verdict is CLEAN, found.to_json()


@pytest.mark.parametrize("zipped", [True, False])
def test_whole_modules_of_own_classes_are_undecided(tmp_path, zipped):
    torch.save(Own(), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = scan(tmp_path / "a.pt")
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-PICKLE-CLASS"})


def test_torchscript_and_exported_programs_are_clean(tmp_path):
    torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.ReLU())).save(str(tmp_path / "a.pt"))
    torch.export.save(torch.export.export(nn.Linear(2, 3), (torch.ones(1, 2),)), tmp_path / "b.pt2")
    found = scan(tmp_path)
    assert found.verdict is CLEAN, found.to_json()


@pytest.mark.parametrize("number", range(4))
def test_callables_of_torch_are_refused(tmp_path, number):
    """Every public callable of torch as a call in a pickle, written as bytes and never loaded."""
    from panmodel.scanners.pickle_names import is_allowed
    from panmodel.wire.pickle import Global

    modules = [torch, torch.nn.functional, torch.hub, torch.serialization, torch.utils.data, torch.jit, torch._utils]
    modules += [torch.nn, torch.optim, torch.autograd, torch.distributed, torch.package, torch.storage]
    names = sorted(
        {(module.__name__, name) for module in modules for name, value in vars(module).items() if callable(value)}
    )
    refused = [pair for pair in names[number::4] if not is_allowed(Global(*pair))]
    assert len(refused) > 300
    for place, (module, name) in enumerate(refused):
        call = b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"X\x01\x00\x00\x00x\x85R."
        (tmp_path / str(place)).write_bytes(call)
    assert [file.path for file in scan(tmp_path).files if file.verdict is not DANGEROUS] == []


def test_saved_models_and_keras_files_are_clean(tmp_path):
    tf = pytest.importorskip("tensorflow")
    keras = tf.keras
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.BatchNormalization()]
    )
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 3)), verbose=0)
    model.save(tmp_path / "a.keras")
    model.save(tmp_path / "a.h5")
    model.save_weights(tmp_path / "a.weights.h5")
    (tmp_path / "a.json").write_text(model.to_json())
    tf.saved_model.save(model, str(tmp_path / "saved"))
    tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoints" / "c"))
    found = scan(tmp_path)
    assert found.verdict is CLEAN, found.to_json()


def test_lambda_layers_of_keras_are_dangerous(tmp_path):
    tf = pytest.importorskip("tensorflow")
    keras = tf.keras
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "a.keras")
    model.save(tmp_path / "a.h5")
    found = scan(tmp_path)
    assert [file.verdict for file in found.files] == [DANGEROUS, DANGEROUS]
    assert rules_of(found) == {"PM-KERAS-LAMBDA"}


def test_the_events_of_a_training_run_are_clean(tmp_path):
    tf = pytest.importorskip("tensorflow")
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        tf.summary.write("loss", tf.constant(0.5), step=1)
        tf.summary.write("note", tf.constant("import os"), step=1)
    writer.close()
    assert scan(tmp_path).verdict is CLEAN
