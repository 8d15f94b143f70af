"""The whole way on the committed checkpoint, and what stands in it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.checkpoints import Writer, box

import panmodel as pm
from panmodel.dtypes import FLOAT32
from panmodel.errors import (
    LossyError,
    MissingFileError,
    OutputExistsError,
    UnknownFormatError,
    UnknownNameError,
    UnsupportedError,
    UsageError,
)
from panmodel.model.builder import Builder
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
CHECKPOINT = DIGITS / "model.ckpt"


@pytest.fixture(scope="module")
def recorded():
    with np.load(DIGITS / "recorded.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    pm.convert(CHECKPOINT, path)
    return path


@pytest.mark.parametrize(
    "name", ["model.ckpt", "model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00000-of-00001", "checkpoint", ""]
)
def test_any_one_file_of_a_checkpoint_will_do(name):
    found = pm.inspect(DIGITS / name)
    assert found.format == "tensorflow_checkpoint"
    assert "conv1/conv/kernel" in {tensor.name for tensor in found.tensors}
    assert found.training["optimizer"] == "adam"
    assert [name.split()[0] for name in found.inputs] == ["images:0"]


def test_to_onnx_as_tensorflow_recorded(onnx_file, recorded):
    found = pm.verify(onnx_file, DIGITS / "recorded.npz")
    assert found.same
    assert found.max_absolute < 1e-5
    assert [output.name for output in found.outputs] == ["probabilities:0"]


def test_to_torch_as_tensorflow_recorded(recorded):
    torch = pytest.importorskip("torch")
    module = pm.to_torch(CHECKPOINT, outputs=["logits:0", "probabilities:0"]).eval()
    with torch.no_grad():
        logits, probabilities = module(torch.from_numpy(recorded["images:0"]))
    np.testing.assert_allclose(logits.numpy(), recorded["logits:0"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(probabilities.numpy(), recorded["probabilities:0"], rtol=1e-4, atol=1e-5)


def test_the_receipt(tmp_path):
    report = pm.convert(CHECKPOINT, tmp_path / "digits.onnx")
    assert report.permutes == 0  # one channel: nothing has to move
    assert report.files == (str(tmp_path / "digits.onnx"),)
    assert report.nbytes == (tmp_path / "digits.onnx").stat().st_size
    assert report.inputs == ["images:0 float32[batch, 8, 8, 1]"]
    assert {notice.kind for notice in report.notices} >= {"training-state-lost"}


def test_every_target_of_a_graph(tmp_path, recorded):
    for name in ("frozen.pb", "digits.onnx", "net.py", "weights.pt"):
        report = pm.convert(CHECKPOINT, tmp_path / name)
        assert os.path.exists(tmp_path / name), report
    assert pm.verify(tmp_path / "frozen.pb", tmp_path / "digits.onnx").same
    assert pm.verify(tmp_path / "frozen.pb", DIGITS / "recorded.npz").same
    assert pm.inspect(tmp_path / "frozen.pb").format == "tensorflow_graph"
    beside = {"frozen.pb", "digits.onnx", "net.py", "net.safetensors", "net.names.json"}
    assert set(os.listdir(tmp_path)) == beside | {"weights.pt", "weights.py", "weights.names.json"}


def test_weights_move_as_they_are(tmp_path):
    before = pm.read(CHECKPOINT)
    pm.convert(CHECKPOINT, tmp_path / "a.safetensors")
    pm.convert(CHECKPOINT, tmp_path / "a.pt", weights_only=True)
    pm.convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    for name in ("a.safetensors", "a.pt", "b.safetensors"):
        after = pm.read(tmp_path / name)
        assert set(after.tensors) == set(before.tensors)
        for key, tensor in before.tensors.items():
            assert after.tensors[key].dtype is tensor.dtype
            assert after.tensors[key].numpy().tobytes() == tensor.numpy().tobytes()


@pytest.mark.parametrize("name", ["A.NPZ", "A.PT", "A.CKPT", "A.INDEX", "A.H5", "A.SafeTensors", "A.weights.H5"])
def test_capitals_in_the_name_of_a_target_do_not_matter(tmp_path, name):
    (tmp_path / "rules.JSON").write_text('{"w": "v"}')
    np.savez(tmp_path / "a.npz", w=np.arange(3.0))
    pm.convert(tmp_path / "a.npz", tmp_path / name, rename=str(tmp_path / "rules.JSON"))
    assert "A.INDEX.index" not in os.listdir(tmp_path)
    assert pm.diff(tmp_path / "a.npz", tmp_path / ("A" if name == "A.INDEX" else name)).renamed


def test_verification_is_part_of_a_conversion(tmp_path):
    report = pm.convert(CHECKPOINT, tmp_path / "digits.onnx", verify=True)
    assert report.verification.same
    assert report.verification.max_absolute < 1e-4


def test_every_intermediate_tensor_is_the_same(onnx_file):
    found = pm.verify(CHECKPOINT, onnx_file, layers=True)
    assert found.layers >= 5
    assert found.first_difference is None


def test_a_changed_weight_is_found_at_its_layer(tmp_path, onnx_file):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(onnx_file)
    weight = next(w for w in model.graph.initializer if w.name.startswith("conv2/"))
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 0.1, weight.name))
    onnx.save(model, tmp_path / "changed.onnx")
    found = pm.verify(CHECKPOINT, tmp_path / "changed.onnx", layers=True)
    assert not found.same
    assert found.first_difference.name.startswith("conv2/")


def test_a_dry_run_writes_nothing(tmp_path):
    report = pm.convert(CHECKPOINT, tmp_path / "digits.onnx", dry_run=True)
    assert report.dry_run and not report.files and report.inputs
    assert os.listdir(tmp_path) == []


def test_one_name_or_pattern_need_not_be_a_list(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.npz", include="fc*", exclude="fc2*")
    assert {name.partition("/")[0] for name in pm.read(tmp_path / "a.npz").tensors} == {"fc1"}
    assert pm.diff(CHECKPOINT, tmp_path / "a.npz", include="fc1*").same
    report = pm.convert(CHECKPOINT, tmp_path / "a.onnx", inputs="images:0", outputs="logits:0")
    assert report.outputs[0].startswith("logits:0")


@pytest.mark.parametrize("size", [0, -1])
def test_files_of_no_bytes_are_refused(tmp_path, size):
    with pytest.raises(UsageError, match="hold no tensors"):
        pm.convert(CHECKPOINT, tmp_path / "a.safetensors", shard_size=size)


def test_targets_are_not_replaced_unasked(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=r"net\.safetensors"):
        pm.convert(CHECKPOINT, tmp_path / "net.py")
    assert os.listdir(tmp_path) == ["net.safetensors"]
    pm.convert(CHECKPOINT, tmp_path / "net.py", force=True)
    assert (tmp_path / "net.safetensors").read_bytes() != b"old"


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("a.safetensors", {}, "kept: step 600, adam, 20 slots"),
        ("a.npz", {"exclude": ["*/bias/*"]}, "kept: step 600, adam, 16 of 20 slots"),
        (
            "a.safetensors",
            {"include": ["conv1/*/kernel", "beta*"]},
            "not kept: adam, 0 of 20 slots; 2 tensors of it are plain ones now",
        ),
        ("a.onnx", {}, "not kept with the graph: step 600, adam, 20 slots"),
        ("a.onnx", {"drop_training": True}, "left out as asked: step 600, adam, 20 slots"),
        ("a.h5", {"drop_training": True}, "left out as asked: step 600, adam, 20 slots"),
    ],
)
def test_the_receipt_says_what_became_of_the_training_state(tmp_path, target, options, said):
    report = pm.convert(CHECKPOINT, tmp_path / target, **options)
    assert report.training == said
    assert ("training-state-lost" in {notice.kind for notice in report.notices}) is said.startswith("not kept")


def test_strict_refuses_a_loss(tmp_path):
    with pytest.raises(LossyError, match="optimizer slots"):
        pm.convert(CHECKPOINT, tmp_path / "digits.onnx", strict=True)
    assert os.listdir(tmp_path) == []


def test_what_is_asked_for_is_no_loss(tmp_path):
    asked = {"dtype": "float16", "exclude": "fc*", "drop_training": True, "weights_only": True}
    report = pm.convert(CHECKPOINT, tmp_path / "a.npz", strict=True, **asked)
    assert [notice.kind for notice in report.notices] == ["cast"]


@pytest.fixture
def in_part(tmp_path):
    """A checkpoint in which a weight and a slot are only partly there."""
    rows = np.arange(28, dtype=np.float32).reshape(7, 4)
    made = Writer(tmp_path, "part.ckpt").add("w", rows)
    made.add_slices("w/Adam", (7, 4), [(box((3, 2), (0, 4)), rows[3:5])])
    made.add_slices("v", (7, 4), [(box((0, 1), (0, 4)), rows[:1])])
    return made.write()


def test_what_is_only_partly_there_stays_so_in_a_checkpoint(tmp_path, in_part):
    report = pm.convert(in_part, tmp_path / "out.ckpt", rename="v=u", dtype="float16", strict=True)
    assert (report.tensors, report.training) == (3, "kept: adam, 1 slots")
    found = pm.read(tmp_path / "out.ckpt")
    assert found.tensors["u"].parts[0].tensor.numpy().tolist() == [[0, 1, 2, 3]]
    assert not found.training.slots["w"]["m"].is_complete


@pytest.mark.parametrize("target", ["a.npz", "a.safetensors", "a.pt", "a.h5"])
def test_what_is_only_partly_there_is_left_out_and_said(tmp_path, in_part, target):
    report = pm.convert(in_part, tmp_path / target)
    notices = [notice for notice in report.notices if notice.kind == "tensors-incomplete"]
    assert [notice.names for notice in notices] == [
        ("v (4 of 28 elements: [0:1, 0:4])", "w/Adam (8 of 28 elements: [3:5, 0:4])")
    ]
    assert notices[0].detail.startswith("2 tensors left out of ")
    assert list(pm.read(tmp_path / target).tensors) == ["w"]
    with pytest.raises(LossyError, match=r"left out of .* v \(4 of 28"):
        pm.convert(in_part, tmp_path / target, strict=True, force=True)


def test_nothing_but_slices_becomes_nothing_but_a_checkpoint(tmp_path, in_part):
    with pytest.raises(
        UnsupportedError, match=r"nothing is left to write: 1 tensor left out of npz.* v \(4 of 28 elements"
    ) as caught:
        pm.convert(in_part, tmp_path / "a.npz", include="v")
    assert "checkpoint" in caught.value.hint
    assert pm.convert(in_part, tmp_path / "a.ckpt", include="v", strict=True).tensors == 1


def test_what_is_only_partly_there_may_be_left_out_by_name(tmp_path, in_part):
    report = pm.convert(in_part, tmp_path / "a.npz", exclude=["v", "w/Adam"], strict=True)
    assert report.notices == []


def test_slots_in_parts_under_several_names_are_kept(tmp_path):
    rows = np.arange(28, dtype=np.float32).reshape(7, 4)
    made = Writer(tmp_path).add("emb", rows)
    for number, (start, end) in enumerate([(0, 3), (3, 7)]):
        made.add_slices(f"emb/rt_{number}/Momentum", (7, 4), [(box((start, end - start), (0, 4)), rows[start:end])])
    report = pm.convert(made.write(), tmp_path / "out.ckpt", strict=True)
    assert report.training == "kept: momentum, 1 slots"
    assert np.array_equal(pm.read(tmp_path / "out.ckpt").training.slots["emb"]["momentum"].numpy(), rows)


def test_strings_go_along_or_are_said(tmp_path, onnx_file):
    said = {"doc_string": "a cat", "labels": "cat,dog"}
    pm.write(replace(pm.read(onnx_file), strings=said), tmp_path / "a.onnx")
    pm.convert(tmp_path / "a.onnx", tmp_path / "b.onnx", strict=True)
    pm.convert(tmp_path / "b.onnx", tmp_path / "c.safetensors", weights_only=True, strict=True)
    pm.convert(tmp_path / "c.safetensors", tmp_path / "d.safetensors", shard_size=1000, strict=True)
    pm.convert(tmp_path / "d.safetensors.index.json", tmp_path / "e.safetensors", strict=True)
    assert pm.read(tmp_path / "b.onnx").strings == said
    assert pm.read(tmp_path / "e.safetensors").strings == {**said, "format": "pt"}
    for target in ("x.npz", "x.pt", "x.ckpt", "x.h5"):
        with pytest.raises(LossyError, match=r"metadata of the file is not kept in .*: doc_string, labels"):
            pm.convert(tmp_path / "e.safetensors", tmp_path / target, strict=True)
    assert [notice.kind for notice in pm.convert(tmp_path / "a.onnx", tmp_path / "x.py").notices] == ["metadata-lost"]


def test_what_the_author_says_of_parts_of_a_graph_goes_along_or_is_said(tmp_path, onnx_file):
    proto = onnx.load(onnx_file)
    proto.graph.node[0].doc_string = "how it came about"
    onnx.save(proto, tmp_path / "a.onnx")
    pm.convert(tmp_path / "a.onnx", tmp_path / "b.onnx", strict=True)
    assert onnx.load(tmp_path / "b.onnx").graph.node[0].doc_string == "how it came about"
    (notice,) = pm.convert(tmp_path / "b.onnx", tmp_path / "c.py").notices
    assert str(notice) == f"what the author says of parts of the graph is not kept in torch_source: {notice.names[0]}"
    assert notice.names == (proto.graph.node[0].name,)


def test_what_is_written_as_it_is_is_told_of_its_losses_too(tmp_path):
    report = pm.write(pm.read(CHECKPOINT), tmp_path / "a.safetensors")
    assert [notice.kind for notice in report.notices] == ["graph-lost"]
    assert (report.tensors, report.training) == (37, "kept: step 600, adam, 20 slots")
    given = Model("any", tensors={"w": ArrayTensor(np.ones(2))}, strings={"author": "somebody"})
    assert [notice.kind for notice in pm.write(given, tmp_path / "a.npz").notices] == ["metadata-lost"]


def test_weights_that_the_graph_leaves_out_are_named(tmp_path):
    whole = pm.convert(CHECKPOINT, tmp_path / "whole.onnx")
    assert "tensors-unused" not in {notice.kind for notice in whole.notices}
    for name in ("part.onnx", "part.py"):
        report = pm.convert(CHECKPOINT, tmp_path / name, outputs=["conv2/pool/MaxPool:0"])
        unused = next(notice for notice in report.notices if notice.kind == "tensors-unused")
        assert set(unused.names) == {"fc1/bias", "fc1/kernel", "fc2/bias", "fc2/kernel"}


def test_initializers_that_an_onnx_graph_leaves_out_are_named(tmp_path):
    build = Builder()
    x = build.input("x", FLOAT32, (2, 4))
    weights = {name: ArrayTensor(np.ones((4, 4), np.float32), name) for name in ("a", "b")}
    first = build.op("MatMul", x, build.weight(weights["a"]))
    build.output("first", first)
    build.output("second", build.op("MatMul", first, build.weight(weights["b"])))
    pm.write(Model("onnx", build.graph(), weights), tmp_path / "a.onnx")
    proto = onnx.load(tmp_path / "a.onnx")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, np.float32), "idle"))
    onnx.save(proto, tmp_path / "a.onnx")
    for target, outputs, unused in (("b.onnx", None, "idle"), ("c.onnx", ["first"], "b, idle"), ("d.py", None, "idle")):
        report = pm.convert(tmp_path / "a.onnx", tmp_path / target, outputs=outputs)
        assert [str(notice) for notice in report.notices] == [f"the converted graph does not use: {unused}"]
    pm.convert(tmp_path / "a.onnx", tmp_path / "e.safetensors", weights_only=True, strict=True)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"outputs": ["probabilites:0"]}, UnknownNameError, "probabilities"),
        ({"inputs": ["image:0"]}, UnknownNameError, "images"),
        ({"to": "onxx"}, UnknownNameError, "onnx"),
        ({"outputs": []}, UsageError, "no output is named"),
        ({"weights_only": True, "outputs": ["logits:0"]}, UsageError, "cut"),
    ],
)
def test_what_cannot_be_meant(tmp_path, arguments, error, said):
    with pytest.raises(error, match=said):
        pm.convert(CHECKPOINT, tmp_path / "digits.onnx", **arguments)
    assert os.listdir(tmp_path) == []


def test_weights_alone_do_not_become_a_graph(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.safetensors")
    with pytest.raises(UnsupportedError, match="without a graph"):
        pm.convert(tmp_path / "a.safetensors", tmp_path / "a.onnx")


def test_nothing_readable(tmp_path):
    (tmp_path / "noise.onnx").write_bytes(os.urandom(64))
    with pytest.raises(UnknownFormatError, match="by its name it should be onnx"):
        pm.read(tmp_path / "noise.onnx")
    with pytest.raises(MissingFileError):
        pm.read(tmp_path / "none.ckpt")
    (tmp_path / "empty.bin").write_bytes(b"")
    with pytest.raises(UnknownFormatError):
        pm.read(tmp_path / "empty.bin")


def test_source_and_target_are_two_files(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="both source and target"):
        pm.convert(tmp_path / "a.onnx", tmp_path / "a.onnx", force=True)


SHARDS = "m.safetensors.index.json"


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        ("m.ckpt", "m.ckpt.index", {}),
        ("m.ckpt.index", "m.ckpt", {}),
        ("m.ckpt.data-00000-of-00001", "m.ckpt", {}),
        ("m.ckpt.index", "m.ckpt", {"shard_size": 9}),
        (SHARDS, "m.safetensors", {"shard_size": 9}),
        (SHARDS, "m.safetensors", {"shard_size": 99}),
        (SHARDS, "m-00001-of-00002.safetensors", {}),
        ("m-00001-of-00002.safetensors", "m.safetensors", {"shard_size": 9}),
    ],
)
def test_the_source_is_not_replaced_under_another_name(tmp_path, source, target, options):
    np.savez(tmp_path / "m.npz", v=np.ones(2, np.float32), w=np.ones(2, np.float32))
    pm.convert(tmp_path / "m.npz", tmp_path / "m.ckpt")
    pm.convert(tmp_path / "m.npz", tmp_path / "m.safetensors", shard_size=9)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="both source and target"):
        pm.convert(tmp_path / source, tmp_path / target, force=True, dtype="bfloat16", **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_was_only_looked_at_may_be_replaced(tmp_path):
    """The index of another model beside the source: does it list the source among its shards?"""
    np.savez(tmp_path / "a.npz", v=np.ones(2, np.float32), w=np.ones(2, np.float32))
    pm.convert(tmp_path / "a.npz", tmp_path / "a.safetensors")
    for size in (8, 9, 100):
        report = pm.convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", shard_size=size, force=True)
        assert pm.diff(tmp_path / "a.npz", tmp_path / "b.safetensors").same
    assert len(report.files) == 2
    pm.convert(tmp_path / "b.safetensors.index.json", tmp_path / "b.safetensors", force=True)
    assert pm.diff(tmp_path / "a.npz", tmp_path / "b.safetensors").same


def test_a_target_without_a_known_name(tmp_path):
    with pytest.raises(UsageError, match="--to"):
        pm.convert(CHECKPOINT, tmp_path / "digits.xyz")
    for name, to in (("digits.pt2", None), ("digits.xyz", "torch_export")):
        with pytest.raises(UnsupportedError, match="torch_export is read, not written"):
            pm.convert(CHECKPOINT, tmp_path / name, to=to)
    with pytest.raises(UsageError, match="--shard-size"):
        pm.convert(CHECKPOINT, tmp_path / "digits.safetensors.index.json", shard_size=1000)
    pm.convert(CHECKPOINT, tmp_path / "digits.xyz", to="onnx")
    assert pm.read(tmp_path / "digits.xyz").format == "onnx"


def test_onnx_becomes_torch(tmp_path, onnx_file, recorded):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        found = pm.to_torch(onnx_file).eval()(torch.from_numpy(recorded["images:0"]))
    np.testing.assert_allclose(found.numpy(), recorded["probabilities:0"], rtol=1e-4, atol=1e-5)


def test_a_graph_that_cannot_be_converted_need_not_be(tmp_path):
    """Of a target that may hold weights alone, the error says how to get them."""
    (tmp_path / "a.pbtxt").write_text(
        'node { name: "x" op: "Placeholder" } node { name: "y" op: "Nonsense" input: "x" }'
    )
    with pytest.raises(UnsupportedError) as raised:
        pm.convert(tmp_path / "a.pbtxt", tmp_path / "a.pt", outputs=["y:0"])
    assert "--weights-only" in raised.value.hint
    with pytest.raises(UnsupportedError) as raised:
        pm.convert(tmp_path / "a.pbtxt", tmp_path / "a.onnx", outputs=["y:0"])
    assert "--weights-only" not in raised.value.hint


def test_a_graph_whose_outputs_cannot_be_told_need_not_be_converted(tmp_path):
    (tmp_path / "a.pbtxt").write_text('node { name: "save/restore_all" op: "NoOp" }')
    with pytest.raises(UsageError, match="outputs of this graph") as raised:
        pm.convert(tmp_path / "a.pbtxt", tmp_path / "a.pt")
    assert "--outputs" in raised.value.hint and "--weights-only" in raised.value.hint
    with pytest.raises(UnknownNameError) as raised:
        pm.convert(tmp_path / "a.pbtxt", tmp_path / "a.pt", outputs=["z:0"])
    assert "--weights-only" not in raised.value.hint
