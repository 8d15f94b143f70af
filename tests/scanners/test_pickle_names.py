import pytest

from panmodel.scanners.pickle_names import (
    is_allowed,
    is_layer,
    is_tensor_function,
    makes_member,
    may_be_users,
    takes_plain_state,
)
from panmodel.wire.pickle import Global, Object


@pytest.mark.parametrize(
    "name",
    [
        Global("builtins", "eval"),
        Global("builtins", "getattr"),
        Global("torch", "load"),
        Global("torch.hub", "load"),
        Global("torch._utils", "_import_dotted_name"),
        Global("numpy", "load"),
        Global("collections", "namedtuple"),
        Global("torch.nn.modules.linear", "Linear"),
        Global("__torch__", "Net"),
    ],
)
def test_names_are_not_allowed_by_their_neighbours(name):
    assert not is_allowed(name)


def test_types_that_no_tensor_has_are_allowed():
    assert all(is_allowed(Global("torch", name)) for name in ("int1", "int4", "int7", "uint1", "uint7"))
    assert not is_allowed(Global("torch", "int0"))


def test_values_tensors_and_arrays_are_allowed():
    names = [("builtins", "set"), ("torch._utils", "_rebuild_tensor_v2"), ("torch", "float32"), ("numpy", "dtype")]
    names += [("torch", "FloatStorage"), ("torch.cuda", "HalfTensor"), ("collections", "OrderedDict")]
    assert all(is_allowed(Global(*name)) for name in names)
    assert is_allowed(Global("__torch__.models", "Net"), torchscript=True)


def test_layers_have_plain_names():
    assert is_layer(Global("torch.nn.modules.conv", "Conv2d"))
    assert not is_layer(Global("torch.nn.modules.module", "torch.hub.load"))
    assert not is_layer(Global("torch.nn.modules.utils", "consume_prefix_in_state_dict_if_present"))
    assert is_layer(Global("torch.utils.data.dataloader", "DataLoader"))
    assert not is_layer(Global("torch.utils.data.dataloader", "_MultiProcessingDataLoaderIter"))
    assert is_tensor_function(Global("torch.nn.functional", "relu"))
    assert not is_tensor_function(Global("torch.nn.functional", "torch.load"))


def test_classes_of_the_author_are_in_no_known_package():
    assert may_be_users(Global("models.net", "Net"))
    assert not may_be_users(Global("subprocess", "Popen"))
    assert not may_be_users(Global("numpy.lib", "Thing"))


def test_state_is_plain_without_arguments():
    assert takes_plain_state(Object(Global("a", "B"), called=False, states=[{"x": 1}]))
    assert not takes_plain_state(Object(Global("a", "B"), (1,), called=False, states=[{"x": 1}]))
    assert not takes_plain_state(Object(Global("a", "B"), called=True, states=[{"x": 1}]))
    assert not takes_plain_state(Object(Global("a", "B"), called=False, states=[(1,)]))


def test_a_class_that_is_called_with_a_dictionary_makes_no_member():
    # Settings of mmengine are pickled so; but subprocess.Popen({"pip": 0, "install": 0}) runs its keys as a command,
    # and so do classes like it that are not in Python's library.
    assert makes_member(Object(Global("colours", "Colour"), ("red",)))
    assert not makes_member(Object(Global("psutil", "Popen"), ({"pip": 0, "install": 0, "evil": 0},)))


def test_the_state_of_a_handle_is_a_tuple():
    handle = Object(Global("torch.utils.hooks", "RemovableHandle"), called=False, states=[({}, 1)])
    assert takes_plain_state(handle)
    assert not takes_plain_state(Object(handle.cls, called=False, states=[7]))
