import numpy as np
import pytest
from tests.checkpoints import FIXTURES

from panmodel.errors import PanmodelError
from panmodel.io.source import Location
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.checkpoint_model import checkpoint_model
from panmodel.model.tensorflow.object_graph import GRAPH_KEY, ObjectGraph
from panmodel.model.tensorflow.objects import Attribute, TrackedObject
from panmodel.wire.tensor_bundle import CheckpointState

WEIGHT = ArrayTensor(np.ones(2, np.float32), "w")


def test_tensors_alone():
    model = checkpoint_model("some", {"w": WEIGHT}, "x")
    assert (model.format, model.tensors, model.program, model.training) == ("some", {"w": WEIGHT}, None, None)
    assert model.metadata == {"framework": "tensorflow"}


def test_with_a_meta_graph_and_a_state_file():
    step = ArrayTensor(np.array(3), "global_step")
    meta, state = Location(FIXTURES / "trained.ckpt.meta"), CheckpointState("b", ("a", "b"))
    model = checkpoint_model("some", {"w": WEIGHT, "global_step": step}, "x", meta=meta, state=state)
    assert model.program.variables is model.tensors
    assert model.training.step == 3
    assert model.metadata["version"] == "1.15.5"
    assert model.metadata["checkpoint"] == {"latest": "b", "all": ["a", "b"]}


def test_a_damaged_meta_graph_is_not_in_the_way_of_the_weights(tmp_path):
    (tmp_path / "x.meta").write_bytes(b"\n\xff")
    with pytest.raises(PanmodelError) as caught:
        checkpoint_model("some", {"w": WEIGHT}, "x", meta=Location(tmp_path / "x.meta"))
    assert "with x.meta moved away they are read without it" in str(caught.value)


def test_with_a_graph_of_objects():
    nodes = (TrackedObject((("net", 1),)), TrackedObject(attributes=(Attribute("VARIABLE_VALUE", "", "net"),)))
    stored = ObjectGraph(nodes, {"net": "net/.ATTRIBUTES/VARIABLE_VALUE"}).stored({"net": WEIGHT})
    model = checkpoint_model("some", stored, "x")
    assert isinstance(model.structure, ObjectGraph)
    assert dict(model.tensors) == {"net": WEIGHT}
    assert GRAPH_KEY not in model.tensors
