"""Modules that torch pickles in other ways (traced, lazy, quantized), and what else of torch is pickled beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.interop.torch_values import same, saved

import panmodel as pm
from panmodel.errors import CorruptError
from panmodel.model.finding import Verdict

torch = pytest.importorskip("torch")
nn = torch.nn


class Traced(nn.Module):
    """A module that torch.fx can trace, with a structured input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, inputs: Any) -> Any:
        return {"y": torch.relu(self.layer(inputs["x"])) * self.scale}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_modules_that_torch_fx_traced_are_read_and_not_executed(tmp_path: Path, legacy: bool) -> None:
    traced = torch.fx.symbolic_trace(Traced(), concrete_args={"inputs": {"x": torch.fx.PH}})
    assert isinstance(traced, torch.fx.GraphModule)
    path = saved(tmp_path / "a.pt", {"model": nn.Sequential(traced, nn.ReLU()), "epoch": 2}, legacy=legacy)
    model = pm.read(path)
    same(model.tensors, torch.load(path, weights_only=False)["model"].state_dict())
    assert model.metadata["module_tree"]["0"]["class"] == "torch.fx.graph_module.GraphModule"
    assert "torch.relu(layer)" in model.metadata["sources"]["torch.fx.graph_module.GraphModule 0"]
    assert any("traced" in str(notice) for notice in model.notices)
    assert pm.scan(path).verdict is Verdict.DANGEROUS


class Executing:
    """Pickled as a module that torch.fx traced, whose code opens a file."""

    def __init__(self, canary: Path) -> None:
        self.code = f"open({str(canary)!r}, 'w').close()\ndef forward(self):\n    return 0\n"

    def __reduce__(self) -> Any:
        body = {"_parameters": {"w": torch.ones(2)}, "_buffers": {}, "_modules": {}, "_code": self.code}
        return torch.fx.graph_module.reduce_graph_module, (body, "")


def test_the_code_of_modules_that_torch_fx_traced_is_dangerous_and_stays_text(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = saved(tmp_path / "a.pt", Executing(canary))
    assert str(canary) in pm.read(path).metadata["sources"]["torch.fx.graph_module.GraphModule"]
    pm.convert(path, tmp_path / "b.safetensors")
    pm.convert(path, tmp_path / "b.pt")
    assert pm.scan(path).verdict is Verdict.DANGEROUS
    assert pm.scan(tmp_path / "b.pt").verdict is Verdict.CLEAN
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()


class Squares(torch.utils.data.Dataset):  # type: ignore[name-defined,misc]
    """A dataset of a user."""

    def __init__(self) -> None:
        self.values = torch.arange(6.0) ** 2

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return self.values[index]


def training_objects() -> dict[str, Any]:
    """What scripts pickle beside a model, by the key that they give it."""
    data = torch.utils.data
    known = data.TensorDataset(torch.arange(12.0).reshape(6, 2))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return {
        "amp": scaler,
        "train_loader": data.DataLoader(known, batch_size=2, shuffle=True, generator=torch.Generator()),
        "weighted": data.WeightedRandomSampler([0.1, 0.9], 2),
        "per_rank": data.DistributedSampler(known, num_replicas=2, rank=0),
        "split": data.random_split(known, [4, 2]),
        "all": data.ConcatDataset([known, known]),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_scalers_loaders_samplers_and_datasets_beside_a_model(tmp_path: Path, legacy: bool) -> None:
    module, objects = nn.Linear(2, 2), training_objects()
    path = saved(tmp_path / "a.pt", {"model": module.state_dict(), "epoch": 1, **objects}, legacy=legacy)
    model = pm.read(path)
    same(model.weights, module.state_dict())
    assert model.metadata["values"]["amp._init_scale"] == 1024.0
    assert model.metadata["values"]["train_loader.collate_fn"].endswith("collate.default_collate")
    stored = model.tensors["train_loader.dataset.tensors.0"].numpy()
    assert (stored == objects["train_loader"].dataset.tensors[0].numpy()).all()
    assert pm.scan(path).verdict is Verdict.CLEAN
    own = saved(tmp_path / "b.pt", {"model": module.state_dict(), "data": torch.utils.data.DataLoader(Squares())})
    assert "data.dataset.values" in pm.read(own).tensors
    assert pm.scan(own).verdict is Verdict.UNDECIDED
    pm.convert(path, tmp_path / "c.pt")
    kept = torch.load(tmp_path / "c.pt", weights_only=True)
    assert kept["amp"]["_init_scale"] == 1024.0
    pm.convert(path, tmp_path / "d.safetensors", drop_training=True)
    assert set(pm.read(tmp_path / "d.safetensors").tensors) == set(module.state_dict())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_lazy_modules_have_parameters_when_they_were_used(tmp_path: Path, legacy: bool) -> None:
    module = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    before = saved(tmp_path / "a.pt", module, legacy=legacy)
    stored = saved(tmp_path / "b.pt", module[:1].state_dict(), legacy=legacy)
    empty = [name for name, part in torch.load(before, weights_only=False).state_dict().items() if has_no_shape(part)]
    for path, lacking in ((before, empty), (stored, ["0.weight", "0.bias"])):
        model = pm.read(path)
        assert lacking == [name for notice in model.notices if "lazy" in notice.detail for name in notice.names]
        assert pm.scan(path).verdict is not Verdict.DANGEROUS
    model = pm.read(before)
    assert list(model.tensors) == ["1.num_batches_tracked"]
    assert model.metadata["module_tree"]["0"]["class"] == "torch.nn.modules.linear.LazyLinear"
    pm.convert(before, tmp_path / "c.pt")
    assert list(torch.load(tmp_path / "c.pt", weights_only=True)) == ["1.num_batches_tracked"]
    module(torch.ones(2, 4))
    same(pm.read(saved(tmp_path / "d.pt", module, legacy=legacy)).tensors, module.state_dict())


def has_no_shape(parameter: Any) -> bool:
    return isinstance(parameter, torch.nn.parameter.UninitializedTensorMixin)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_quantized_modules_keep_their_weights_in_objects_of_torchscript(tmp_path: Path, legacy: bool) -> None:
    quantization = torch.ao.quantization
    plain = nn.Sequential(nn.Linear(4, 3), nn.LSTM(3, 2))
    module = quantization.quantize_dynamic(plain, {nn.Linear, nn.LSTM})
    path = saved(tmp_path / "a.pt", module, legacy=legacy)
    model = pm.read(path)
    source = module if legacy else torch.load(path, weights_only=False)  # which packs them there before it reads them
    weight, bias = source[0]._packed_params._weight_bias()
    assert (model.tensors["0._packed_params._packed_params.0"].numpy() == weight.int_repr().numpy()).all()
    assert (model.tensors["0._packed_params._packed_params.1"].numpy() == bias.detach().numpy()).all()
    assert len([name for name in model.tensors if name.startswith("1.")]) == 6
    assert pm.scan(path).verdict is Verdict.DANGEROUS  # torch makes what the file says of native classes


def quantized_convolution(bias: bool, seed: int) -> Any:
    torch.manual_seed(seed)
    quantization = torch.ao.quantization
    stubs = quantization.QuantStub(), quantization.DeQuantStub()
    plain = nn.Sequential(stubs[0], nn.Conv2d(1, 2, 3, bias=bias), nn.ReLU(), stubs[1]).eval()
    plain.qconfig = quantization.get_default_qconfig("fbgemm")
    prepared = quantization.prepare(plain)
    prepared(torch.randn(1, 1, 5, 5))
    return quantization.convert(prepared)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bias", [True, False])
def test_quantized_convolutions_go_by_the_names_of_their_state_dict(tmp_path: Path, bias: bool) -> None:
    made = quantized_convolution(bias, 0)
    path = saved(tmp_path / "a.pt", made)
    model = pm.read(path)
    weight, _ = made[1]._weight_bias()
    assert (model.tensors["1.weight"].numpy() == weight.int_repr().numpy()).all()
    assert model.metadata["module_tree"]["1"]["kernel_size"] == [3, 3]  # type: ignore[index]
    pm.convert(path, tmp_path / "b.safetensors")
    pm.convert(tmp_path / "b.safetensors", tmp_path / "b.pt")
    state = torch.load(tmp_path / "b.pt", weights_only=True)
    assert list(state) == list(made.state_dict())
    other, given = quantized_convolution(bias, 1), torch.randn(2, 1, 5, 5)
    assert not torch.equal(other(given), made(given))
    other.load_state_dict(state)
    assert torch.equal(other(given), made(given))


@pytest.mark.filterwarnings("ignore")
def test_what_a_failed_torch_save_leaves_behind_is_said(tmp_path: Path) -> None:
    path, scripted = tmp_path / "a.pt", torch.jit.script(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="Tried to serialize"):
        torch.save({"model": nn.Sequential(nn.ReLU(), scripted)}, path)
    with pytest.raises(CorruptError, match=r"no data\.pkl") as raised:
        pm.read(path)
    assert "torch.jit.save" in raised.value.hint
