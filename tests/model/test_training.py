import numpy as np
import pytest

from panmodel.model.tensor import ArrayTensor
from panmodel.model.training import TrainingState, optimizer_kind, unassigned


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Adam", "adam"), ("adam_3", "adam"), ("RMSprop", "rmsprop"), ("rm_sprop_12", "rmsprop"), ("adam_w", "adamw"),
     ("loss_scale_optimizer", "loss_scale_optimizer"), ("", "")],
)  # fmt: skip
def test_names_of_optimizers(name, kind):
    assert optimizer_kind(name) == kind


def test_slots_of_no_weight_are_left_open_where_there_are_weights():
    tensors = {name: ArrayTensor(np.zeros(2)) for name in ("w", "v", "w.m", "0.m")}
    state = TrainingState(slots={"w": {"m": tensors["w.m"]}, "0": {"m": tensors["0.m"]}}, names={"w.m", "0.m"})
    (notice,) = unassigned(state, tensors)
    assert (notice.kind, notice.names) == ("slots-unassigned", ("0",))
    assert unassigned(None, tensors) == unassigned(TrainingState(names={"w.m"}), tensors) == []
    assert unassigned(state, {name: tensors[name] for name in state.names}) == []  # of the optimizer alone
