"""Hundreds of files that frameworks write of ordinary models: all of them are read, and the scan calls them clean."""

from __future__ import annotations

import inspect
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.interop.torch_values import ARRAYS, MADE
from tests.scanned import CLEAN

import panmodel as pm

torch = pytest.importorskip("torch")
nn = torch.nn


def assert_benign(path: Path) -> None:
    found = pm.scan(path)
    assert found.verdict is CLEAN, (path.name, found.to_json())
    for tensor in pm.read(path).tensors.values():
        assert tensor.numpy().shape == tensor.shape, path.name


# Nets, written by hand as people do


def conv(*widths: int, kind: Any = nn.Conv2d, norm: Any = nn.BatchNorm2d, **settings: Any) -> list[Any]:
    blocks = [[kind(a, b, 3, **settings), norm(b), nn.ReLU(inplace=True)] for a, b in itertools.pairwise(widths)]
    return [layer for block in blocks for layer in block]


class Residual(nn.Module):
    def __init__(self, width: int = 4, norm: Any = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), norm(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), norm(width)
        self.downsample = nn.Sequential(nn.Conv2d(width, width, 1), norm(width))


class Dense(nn.Module):
    def __init__(self, layers: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({f"denselayer{n}": nn.Conv2d(4 + 2 * n, 2, 3) for n in range(layers)})


class Excited(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, groups=8)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.SiLU(), nn.Conv2d(2, 8, 1))


class Vision(nn.Module):
    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.class_token, self.positions = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), depth)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]))


class Language(nn.Module):
    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.tokens, self.blocks = nn.Embedding(11, 8), nn.ModuleList([nn.TransformerDecoderLayer(8, 2, 16)])
        self.head = nn.Linear(8, 11, bias=False)
        if tied:
            self.head.weight = self.tokens.weight


class Recurrent(nn.Module):
    def __init__(self, kind: Any = nn.LSTM, **settings: Any) -> None:
        super().__init__()
        self.embedding, self.rnn, self.out = nn.Embedding(9, 4), kind(4, 3, **settings), nn.Linear(3, 2)


class Unet(nn.Module):
    def __init__(self, kind: Any = nn.Conv2d, up: Any = nn.ConvTranspose2d) -> None:
        super().__init__()
        self.down = nn.ModuleList([kind(1, 2, 3), kind(2, 4, 3)])
        self.up = nn.ModuleList([up(4, 2, 2, 2), up(2, 1, 2, 2)])


NETS: dict[str, Callable[[], Any]] = {
    "perceptron": lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)),
    "lenet": lambda: nn.Sequential(*conv(1, 3, 4), nn.Flatten(), nn.Linear(16, 3)),
    "alexnet": lambda: nn.Sequential(*conv(3, 4, 6, 8), nn.Dropout(), nn.Linear(8, 5)),
    "vgg": lambda: nn.ModuleDict({"features": nn.Sequential(*conv(3, 4, 4)), "classifier": nn.Linear(4, 2)}),
    "vgg without norms": lambda: nn.Sequential(*conv(3, 4, 4, norm=nn.Identity)),
    "resnet": lambda: nn.Sequential(Residual(), Residual()),
    "resnet of groups": lambda: nn.Sequential(Residual(norm=lambda width: nn.GroupNorm(2, width))),
    "resnet of instances": lambda: nn.Sequential(Residual(norm=lambda width: nn.InstanceNorm2d(width, affine=True))),
    "resnext": lambda: nn.Sequential(*conv(4, 4, 4, groups=2)),
    "wide resnet": lambda: Residual(16),
    "densenet": lambda: Dense(),
    "deep densenet": lambda: Dense(12),
    "mobilenet": lambda: nn.Sequential(*conv(4, 4, groups=4), nn.Hardswish()),
    "efficientnet": lambda: nn.Sequential(Excited(), Excited()),
    "squeezenet": lambda: nn.ModuleDict({"squeeze": nn.Conv2d(4, 2, 1), "expand": nn.Conv2d(2, 4, 3)}),
    "inception": lambda: nn.ModuleList([nn.Conv2d(3, 2, size) for size in (1, 3, 5)]),
    "unet": lambda: Unet(),
    "unet of volumes": lambda: Unet(nn.Conv3d, nn.ConvTranspose3d),
    "unet of sound": lambda: Unet(nn.Conv1d, nn.ConvTranspose1d),
    "fcn": lambda: nn.Sequential(*conv(3, 4), nn.Conv2d(4, 2, 1), nn.Upsample(scale_factor=2)),
    "deeplab": lambda: nn.ModuleList([nn.Conv2d(3, 2, 3, dilation=rate) for rate in (1, 6, 12)]),
    "detector": lambda: nn.ModuleDict({"backbone": Residual(), "boxes": nn.Linear(4, 8), "scores": nn.Linear(4, 3)}),
    "vision transformer": lambda: Vision(),
    "deep vision transformer": lambda: Vision(4),
    "language model": lambda: Language(),
    "untied language model": lambda: Language(tied=False),
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 16),
    "lstm": lambda: Recurrent(),
    "deep lstm": lambda: Recurrent(num_layers=3, bidirectional=True),
    "projected lstm": lambda: Recurrent(proj_size=2),
    "gru": lambda: Recurrent(nn.GRU),
    "rnn": lambda: Recurrent(nn.RNN, nonlinearity="relu"),
    "speech": lambda: nn.Sequential(*conv(1, 4, 4, kind=nn.Conv1d, norm=nn.BatchNorm1d), nn.GRU(4, 3)),
    "video": lambda: nn.Sequential(*conv(1, 2, 3, kind=nn.Conv3d, norm=nn.BatchNorm3d)),
    "autoencoder": lambda: nn.ModuleDict({"encoder": nn.Linear(8, 2), "decoder": nn.Linear(2, 8)}),
    "adversaries": lambda: nn.ModuleDict({"generator": Unet(), "discriminator": nn.Sequential(*conv(1, 2))}),
    "siamese": lambda: nn.ModuleDict({"tower": nn.Linear(3, 2), "distance": nn.Bilinear(2, 2, 1)}),
    "recommender": lambda: nn.ModuleDict({"user": nn.EmbeddingBag(5, 3), "item": nn.Embedding(7, 3)}),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)),
    "half": lambda: nn.Sequential(*conv(3, 4)).half(),
    "brain": lambda: nn.Linear(3, 2).bfloat16(),
    "double": lambda: nn.Linear(3, 2).double(),
    "complex": lambda: nn.Linear(3, 2, dtype=torch.complex64),
    "data parallel": lambda: nn.DataParallel(nn.Linear(3, 2)),
}

# Training runs

OPTIMIZERS = [
    *("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "LBFGS", "Rprop"),
    "SparseAdam",
]
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: torch.optim.lr_scheduler.StepLR(o, 3),
    "MultiStepLR": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 5]),
    "ConstantLR": lambda o: torch.optim.lr_scheduler.ConstantLR(o),
    "LinearLR": lambda o: torch.optim.lr_scheduler.LinearLR(o),
    "ExponentialLR": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: torch.optim.lr_scheduler.PolynomialLR(o),
    "CosineAnnealingLR": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
    "CyclicLR": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.1, 0.2),
    "OneCycleLR": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.2, 10),
    "ReduceLROnPlateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o),
    "LambdaLR": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "SequentialLR": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o, [torch.optim.lr_scheduler.ConstantLR(o), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)], [2]
    ),
}


def stepped(kind: str) -> tuple[Any, Any]:
    model = nn.Embedding(5, 3, sparse=True) if kind == "SparseAdam" else nn.Linear(3, 3)
    settings = {"momentum": 0.9} if kind in ("SGD", "RMSprop") else {}
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1, **settings)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(torch.tensor([1, 2]) if kind == "SparseAdam" else torch.ones(2, 3)).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model, optimizer


def runs() -> Iterator[tuple[str, Any]]:
    for kind in OPTIMIZERS:
        model, optimizer = stepped(kind)
        yield kind, {"epoch": 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    for name, make in SCHEDULES.items():
        model, optimizer = stepped("SGD")
        schedule = make(optimizer)
        schedule.step(*([0.5] if name == "ReduceLROnPlateau" else []))
        yield name, {"state_dict": model.state_dict(), "lr_scheduler": schedule.state_dict()}
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(1))
    yield "scaler", {"model": nn.Linear(2, 2).state_dict(), "scaler": scaler.state_dict()}
    averaged = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2))
    yield "averaged", averaged.state_dict()
    yield "random states", {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": (3, (1, 2), None)}


# Layers as whole modules

_ARGUMENTS: list[tuple[Any, ...]] = [(), (4,), (4, 4), (4, 4, 3), (2, 4), (2,), (1, 2), (4, 2), (0.1, 0.2)]
_GIVEN: dict[str, Callable[[], Any]] = {
    "AdaptiveLogSoftmaxWithLoss": lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 12, [3, 6]),
    "TransformerDecoder": lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8), 1),
    "TransformerEncoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 1),
    "Transformer": lambda: nn.Transformer(4, 2, 1, 1, 8),
    "TransformerDecoderLayer": lambda: nn.TransformerDecoderLayer(4, 2, 8),
    "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(4, 2, 8),
    "Unflatten": lambda: nn.Unflatten(1, (2, 2)),
    "DataParallel": lambda: nn.DataParallel(nn.Linear(2, 2)),
    "ModuleDict": lambda: nn.ModuleDict({"a": nn.Linear(2, 2)}),
    "ModuleList": lambda: nn.ModuleList([nn.Linear(2, 2)]),
    "Sequential": lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
    "ParameterDict": lambda: nn.ParameterDict({"a": torch.ones(2)}),
    "ParameterList": lambda: nn.ParameterList([torch.ones(2)]),
}
#: One that nobody makes by itself; and those that have not seen their input, which have no weights and call getattr.
_NO_LAYERS = ("Container", "Lazy")


def layers() -> Iterator[tuple[str, Any]]:
    for name, kind in sorted(vars(nn).items()):
        if inspect.isclass(kind) and issubclass(kind, nn.Module) and not name.startswith(_NO_LAYERS):
            made = _GIVEN[name]() if name in _GIVEN else _first(kind)
            if made is not None:
                yield name, made


def _first(kind: Any) -> Any:
    """A layer, made with the first arguments that it takes."""
    for arguments in _ARGUMENTS:
        try:
            return kind(*arguments)
        except (TypeError, ValueError, AssertionError):
            continue
    return None


def saved(values: Iterator[tuple[str, Any]], folder: Path) -> list[Path]:
    paths = []
    for name, value in values:
        for zipped in (True, False):
            if zipped or name != "every type":  # torch itself cannot load unsigned ones of its old container
                paths.append(folder / f"{name}.{'zip' if zipped else 'old'}.pt")
                torch.save(value, paths[-1], _use_new_zipfile_serialization=zipped)
    return paths


@pytest.mark.filterwarnings("ignore")
def test_state_dicts(tmp_path: Path) -> None:
    paths = saved(((name, make().state_dict()) for name, make in NETS.items()), tmp_path)
    assert len(paths) >= 80
    for path in paths:
        assert_benign(path)


@pytest.mark.filterwarnings("ignore")
def test_training_runs_and_values_of_all_sorts(tmp_path: Path) -> None:
    values = ((name, make()) for name, make in (MADE | ARRAYS).items() if name not in ("empty", "meta", "scheduler"))
    paths = saved(itertools.chain(runs(), values), tmp_path)
    assert len(paths) >= 100
    for path in paths:
        found = pm.scan(path)
        assert found.verdict is CLEAN, (path.name, found.to_json())
        for tensor in pm.read(path).tensors.values():
            assert tensor.numpy().shape == tensor.shape, path.name


@pytest.mark.filterwarnings("ignore")
def test_layers_as_whole_modules(tmp_path: Path) -> None:
    paths = saved(layers(), tmp_path)
    assert len(paths) >= 250
    for path in paths:
        assert_benign(path)


def test_torchscript(tmp_path: Path) -> None:
    for name in ("perceptron", "lenet", "fcn"):
        torch.jit.script(NETS[name]()).save(str(tmp_path / f"{name}.pt"))
        found = pm.scan(tmp_path / f"{name}.pt")
        assert found.verdict is CLEAN, found.to_json()


def test_arrays_and_graphs(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {kind: np.arange(6).astype(kind).reshape(2, 3) for kind in ("f4", "f8", "f2", "i8", "i4", "u1", "?", "c8")}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays, text=np.array(["a", "é"]), fortran=np.asfortranarray(np.eye(3)))
    for kind, array in arrays.items():
        np.save(tmp_path / f"{ord(kind[0])}{kind[1:]}.npy", array)
    safetensors.save_file(arrays, tmp_path / "a.safetensors", {"format": "np"})
    held = [onnx.numpy_helper.from_array(array, kind) for kind, array in arrays.items()]
    node = onnx.helper.make_node("Relu", ["f4"], ["y"])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "graph", [], [result], held))
    onnx.save(model, tmp_path / "a.onnx")
    outside = tmp_path / "outside"
    outside.mkdir()
    onnx.save(model, outside / "b.onnx", save_as_external_data=True, location="b.bin", size_threshold=0)
    for path in (*tmp_path.glob("*.*"), outside / "b.onnx"):
        assert_benign(path)


# TensorFlow and Keras are run by themselves: they take seconds and hundreds of megabytes
KERAS = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, tensorflow as tf
L = keras.layers
IMAGE, SOUND, FLAT = (8, 8, 2), (6, 3), (4,)
FAMILIES = {
    "dense": (FLAT, [L.Dense(3, "relu"), L.Dense(2, kernel_regularizer="l2", kernel_initializer="he_normal")]),
    "conv2d": (IMAGE, [L.Conv2D(3, 3), L.BatchNormalization(), L.ReLU(), L.GlobalAveragePooling2D()]),
    "depthwise": (IMAGE, [L.DepthwiseConv2D(3), L.SeparableConv2D(2, 3), L.MaxPooling2D(), L.Flatten()]),
    "transposed": (IMAGE, [L.Conv2DTranspose(2, 3), L.UpSampling2D(), L.ZeroPadding2D(), L.Cropping2D()]),
    "conv1d": (SOUND, [L.Conv1D(3, 2), L.AveragePooling1D(2), L.GlobalMaxPooling1D()]),
    "conv3d": ((4, 4, 4, 1), [L.Conv3D(2, 2), L.MaxPooling3D(), L.Flatten()]),
    "lstm": (SOUND, [L.LSTM(3, return_sequences=True), L.LSTM(2)]),
    "gru": (SOUND, [L.GRU(3, return_sequences=True), L.SimpleRNN(2)]),
    "bidirectional": (SOUND, [L.Bidirectional(L.LSTM(3)), L.Dense(1)]),
    "time": (SOUND, [L.TimeDistributed(L.Dense(2)), L.Masking(), L.GRU(2)]),
    "convlstm": ((3, 5, 5, 1), [L.ConvLSTM2D(2, 3)]),
    "embedding": ((5,), [L.Embedding(9, 4), L.GlobalAveragePooling1D(), L.Dense(1, "sigmoid")]),
    "norms": (FLAT, [L.LayerNormalization(), L.UnitNormalization(), L.BatchNormalization(), L.Dense(2)]),
    "groups": (IMAGE, [L.GroupNormalization(2), L.SpatialDropout2D(0.1), L.GlobalMaxPooling2D()]),
    "activations": (FLAT, [L.Dense(3), L.LeakyReLU(), L.PReLU(), L.ELU(), L.Softmax(), L.Activation("gelu")]),
    "shapes": (FLAT, [L.Reshape((2, 2)), L.Permute((2, 1)), L.Flatten(), L.Dense(2)]),
    "noise": (FLAT, [L.GaussianNoise(0.1), L.GaussianDropout(0.1), L.AlphaDropout(0.1), L.Dense(2)]),
    "pictures": (IMAGE, [L.Rescaling(1 / 255), L.RandomFlip(), L.RandomRotation(0.1), L.Conv2D(2, 3)]),
    "numbers": (FLAT, [L.Normalization(mean=0.5, variance=2.0), L.Dense(1)]),
    "einsum": (SOUND, [L.EinsumDense("abc,cd->abd", (None, 2)), L.Flatten()]),
    "locked": (FLAT, [L.Dense(3, trainable=False), L.Dropout(0.5), L.Dense(1)]),
    "half": (FLAT, [L.Dense(3, dtype="float16"), L.Dense(1, dtype="mixed_bfloat16")]),
}
def attention():
    one = L.Input(SOUND); seen = L.MultiHeadAttention(2, 3)(one, one)
    return keras.Model(one, L.Add()([one, L.LayerNormalization()(seen)]))
def branched():
    one, two = L.Input((4,)), L.Input((3,))
    return keras.Model([one, two], [L.Dense(2)(L.Concatenate()([one, L.Dense(3)(two)])), L.Multiply()([two, two])])
def built(shape, layers):
    return keras.Sequential([L.Input(shape), *layers])
models = {name: built(*given) for name, given in FAMILIES.items()} | {"attention": attention(), "branched": branched()}
optimizers = ["adam", "sgd", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "ftrl", "adamw", "lion"]
for number, (name, model) in enumerate(models.items()):
    model.compile(optimizers[number % len(optimizers)], "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    model.save(f"{name}.keras"); model.save(f"{name}.h5"); model.save_weights(f"{name}.weights.h5")
for name in ("dense", "lstm", "branched"):
    tf.train.Checkpoint(model=models[name], optimizer=models[name].optimizer).save(f"checkpoints_{name}/c")
for name in ("dense", "conv2d", "attention"):
    models[name].export(f"exported_{name}", verbose=False)
for kind in ("GradientDescent", "Adam", "Momentum", "RMSProp", "Adagrad", "Ftrl"):
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", initializer=v1.ones((3, 2)))
        given = {"momentum": 0.9} if kind == "Momentum" else {}
        optimizer = getattr(v1.train, f"{kind}Optimizer")(0.1, **given)
        optimizer.minimize(v1.reduce_sum(w * w), v1.train.create_global_step())
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, f"./saver_{kind}/model.ckpt", global_step=7)
"""


def test_what_tensorflow_and_keras_write(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    done = subprocess.run([sys.executable, "-c", KERAS], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert len(files) == 3 * 24
    folders = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(folders) == 12
    for path in files + folders:
        assert_benign(path)
