import pytest

from panmodel.model.training import optimizer_kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Adam", "adam"), ("adam_3", "adam"), ("RMSprop", "rmsprop"), ("rm_sprop_12", "rmsprop"), ("adam_w", "adamw"),
     ("loss_scale_optimizer", "loss_scale_optimizer"), ("", "")],
)  # fmt: skip
def test_names_of_optimizers(name, kind):
    assert optimizer_kind(name) == kind
