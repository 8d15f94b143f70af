"""What every reader returns."""

import numpy as np

from panmodel.model.builder import Builder
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.graph import TensorFlowGraph
from panmodel.model.torch.source import TorchSource
from panmodel.model.training import TrainingState


def test_the_dialect_is_that_of_the_program():
    assert Model("safetensors").dialect is None
    assert Model("onnx", Builder().graph()).dialect == "onnx"


def test_dialects_differ():
    kinds = (type(Builder().graph()), TensorFlowGraph, TorchSource)
    assert len({kind.dialect for kind in kinds}) == len(kinds)


def test_models_share_nothing_by_default():
    one, other = Model("a"), Model("b")
    one.notices.append("lost")
    assert other.notices == [] and other.tensors == {} and other.training is None


def test_weights_are_what_training_does_not_claim():
    tensors = {"w": ArrayTensor(np.ones(2)), "w/Adam": ArrayTensor(np.zeros(2))}
    assert list(Model("any", tensors=tensors).weights) == ["w", "w/Adam"]
    training = TrainingState(names=frozenset({"w/Adam"}))
    assert list(Model("any", tensors=tensors, training=training).weights) == ["w"]
