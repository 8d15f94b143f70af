"""What a file could name in order to have it executed by whoever unpickles it, and what whole modules name."""

from __future__ import annotations

import importlib
import sys
import time
import zipfile
from pathlib import Path

import pytest

from panmodel.io.source import FileSource, MemorySource
from panmodel.model.torch.classes import refused
from panmodel.wire.torch_container import load

PARTS = (
    b"}(X\x0b\x00\x00\x00_parametersc collections\nOrderedDict\n)RX\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}"
)
PARTS = PARTS.replace(b"c collections", b"ccollections")
MODULE = b"cmy.nets\nNet\n)\x81" + PARTS + b"ub"


LINEAR = b"ctorch.nn.modules.linear\nLinear\n"
GETATTR = b"c__builtin__\ngetattr\n"
PARTIAL = b"cfunctools\npartial\nctorch.nn.modules.normalization\nLayerNorm\n\x85R"


def names(pickle: bytes) -> list[str]:
    """Names that make this pickle, behind protocol 4, unsafe."""
    loaded = load(MemorySource(b"\x80\x04" + pickle + b".", "a.pkl"))
    return [str(name) for name in refused(loaded)]


def with_extra(extra: bytes) -> bytes:
    """A module with one more attribute."""
    return b"cmy.nets\nNet\n)\x81" + PARTS + b"X\x05\x00\x00\x00extra" + extra + b"ub"


def text(value: bytes) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value


def test_modules_of_anybody_are_accepted() -> None:
    assert names(MODULE) == []
    assert names(b"](" + MODULE + b"cbaselines.common\nStatistics\n)\x81}" + text(b"n") + b"K\x01sbe") == []
    assert names(with_extra(b"cmy.nets\nConfig\n)\x81")) == []
    assert names(MODULE.replace(b"my.nets\nNet", b"__main__\nNet")) == []
    assert names(MODULE.replace(b"my.nets\nNet", b"torch.nn.modules.linear\nLinear")) == []


@pytest.mark.parametrize(
    "extra",
    [
        b"cmy.nets\nColour\n" + text(b"red") + b"\x85R",  # a member of an enumeration
        b"(cmy.nets\nThing\nK\x01o",
        b"cmy.nets\nThing\n)\x81cmy.nets\nThing\nK\x01\x85R\x86",
        b"cbuiltins\ngetattr\n(cmy.nets\nColour\n" + text(b"red") + b"tR",  # likewise, by its name
        b"c__builtin__\ngetattr\n(cmy.nets\nThing\n)\x81" + text(b"_hook") + b"tR",  # a bound method
        b"c__builtin__\ngetattr\n(ctorch._C\n_VariableFunctionsClass\n" + text(b"relu") + b"tR",  # torch.relu
        b"cmy.nets\nrun\n",
        b"cmy.nets\n_run\n",
        PARTIAL,
        PARTIAL
        + b"(ctorch.nn.modules.normalization\nLayerNorm\n)}"
        + text(b"eps")
        + b"G>\xb0\xc6\xf7\xa0\xb5\xed\x8dsNtb",
        b"c_operator\ngetitem\n(ctyping\nUnion\n(cmy.nets\nA\nc__builtin__\ntype\nN\x85RttR",
        b"cinspect\n_empty\n",
        b"c__builtin__\nprint\n",
    ],
)
def test_references_and_members_of_enumerations_are_accepted(extra: bytes) -> None:
    assert names(with_extra(extra)) == []


def test_functions_of_torch_may_be_mentioned() -> None:
    assert names(with_extra(b"ctorch.nn.functional\nrelu\n")) == []
    assert names(with_extra(b"ctorch._C._nn\ngelu\n")) == []
    assert names(with_extra(b"ctorch.nn.init\nxavier_uniform_\n")) == []
    assert names(with_extra(b"ctorch.nn.backends.thnn\n_get_thnn_function_backend\n)R")) == []


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        # calls
        (b"cos\nsystem\n" + text(b"true") + b"\x85R", "os.system"),
        (b"cmy.nets\nrun\n)R", "my.nets.run"),
        (b"ctorch.nn.functional\nrelu\nK\x01\x85R", "torch.nn.functional.relu"),
        (b"ctorch\nload\n" + text(b"x") + b"\x85R", "torch.load"),
        (b"(cmy.nets\nrun\no", "my.nets.run"),
        (b"(imy.nets\nrun\n", "my.nets.run"),
        # calls whose result is thrown away
        (b"cmy.nets\nrun\n)R0N", "my.nets.run"),
        (b"(cmy.nets\nrun\no0N", "my.nets.run"),
        # a call of an object that was made without a call
        (b"cmy.nets\nThing\n)\x81)R", "my.nets.Thing"),
        (b"cmy.nets\nThing\n)\x81)R0N", "my.nets.Thing"),
        # a call of what a call with something returned
        (b"cmy.nets\nThing\nK\x01\x85R)R", "my.nets.Thing"),
        # a class of torch that is called with something in one place and made in another
        (LINEAR + b")\x81" + LINEAR + b"K\x01\x85R\x86", "torch.nn.modules.linear.Linear"),
        (LINEAR + b")\x81(" + LINEAR + b"K\x01o\x86", "torch.nn.modules.linear.Linear"),
        # a function that is called in one place and mentioned in another
        (b"cmy.nets\nrun\ncmy.nets\nrun\n)R\x86", "my.nets.run"),
        # references that are called, changed, lead elsewhere, or are no references
        (PARTIAL + b")R", "functools.partial"),
        (PARTIAL + b")R0N", "functools.partial"),
        (PARTIAL + b"(cmy.nets\nrun\n)}Ntb", "functools.partial"),
        (b"cfunctools\npartial\ncos\nsystem\n\x85R", "os.system"),
        (b"cfunctools\npartial\n(cmy.nets\nThing\nK\x01tR", "functools.partial"),
        (b"cfunctools\npartial\n" + text(b"true") + b"\x85R", "functools.partial"),
        (PARTIAL + b"cfunctools\npartial\n)\x81\x86", "functools.partial"),
        (GETATTR + b"(cmy.nets\nThing\n" + text(b"run") + b"tR)R", "__builtin__.getattr"),
        (GETATTR + b"(cmy.nets\nThing\n" + text(b"__init__") + b"tR", "__builtin__.getattr"),
        (GETATTR + b"(cmy.nets\nThing\n" + text(b"os.system") + b"tR", "__builtin__.getattr"),
        (GETATTR + b"(cmy.nets\nThing\n" + text(b"all") + b"tR}" + text(b"a") + b"K\x01sb", "__builtin__.getattr"),
        (GETATTR + b"(cos\nsystem\n" + text(b"run") + b"tR", "os.system"),
        (GETATTR + b"((cmy.nets\nThing\nK\x01o" + text(b"run") + b"tR", "__builtin__.getattr"),
        (GETATTR + b"(" + GETATTR + b"(cmy.nets\nA\n" + text(b"b") + b"tR" + text(b"c") + b"tR", "__builtin__.getattr"),
        (b"c_operator\ngetitem\n(cmy.nets\nThing\nK\x01tR", "_operator.getitem"),
        (b"c__builtin__\ntype\n(" + text(b"A") + b")}tR", "__builtin__.type"),
        (b"ctyping\nUnion\n)R", "typing.Union"),
        (b"cbuiltins\nprint\n)R", "builtins.print"),
        (b"cbuiltins\nprint\ncbuiltins\nprint\n)\x81\x86", "builtins.print"),
        (b"ctyping\nNamedTuple\n", "typing.NamedTuple"),
        # handed to what calls it
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(cmy.nets\nThing\ncmy.nets\nT\n)}tR", "my.nets.Thing"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(cmy.nets\nThing\ncmy.nets\nT\n)}tR0N", "my.nets.Thing"),
        (b"cnumpy.random._pickle\n__generator_ctor\n" + text(b"a") + b"cmy.nets\nThing\n\x86R", "my.nets.Thing"),
        (b"ccopyreg\n_reconstructor\n(cmy.nets\nT\ncmy.nets\nThing\nK\x01tR", "my.nets.Thing"),
        # mentioned alone
        (b"cos\nsystem\n", "os.system"),
        (b"cos\nsystem\n0N", "os.system"),
        (b"ctorch\nsave\n", "torch.save"),
        (b"ctorch.nn.functional\nboolean_dispatch\n", "torch.nn.functional.boolean_dispatch"),
        (b"ctorch.nn.functional\nwarnings\n", "torch.nn.functional.warnings"),
        # of the library, numpy or torch, without a call
        (b"csubprocess\nPopen\n)\x81", "subprocess.Popen"),
        (b"cfunctools\npartial\n)\x81", "functools.partial"),
        (b"c__builtin__\neval\n)\x81", "__builtin__.eval"),
        (b"ccommands\ngetoutput\n)\x81", "commands.getoutput"),
        (b"cnumpy.f2py\ncompile\n)\x81", "numpy.f2py.compile"),
        (b"ctorch.jit\nScriptModule\n)\x81", "torch.jit.ScriptModule"),
        (b"ctorch.nn._reduction\nThing\n)\x81", "torch.nn._reduction.Thing"),
        (b"cpip\nmain\n)\x81", "pip.main"),
        # of what torch cannot do without
        (b"csympy.functions.elementary.complexes\nAbs\n)\x81", "sympy.functions.elementary.complexes.Abs"),
        # paths through modules and attributes
        (text(b"my.nets") + text(b"os.system") + b"\x93)\x81", "my.nets.os.system"),
        (text(b"torch.nn.functional") + text(b"relu.__globals__") + b"\x93", "torch.nn.functional.relu.__globals__"),
        (text(b"my.nets") + text(b"__reduce__") + b"\x93)\x81", "my.nets.__reduce__"),
        (text(b"my..nets") + text(b"Net") + b"\x93)\x81", "my..nets.Net"),
        (text(b"") + text(b"Net") + b"\x93)\x81", ".Net"),
        (text(b"my.nets/../os") + text(b"Net") + b"\x93)\x81", "my.nets/../os.Net"),
        # attributes of attributes
        (
            b"c__builtin__\ngetattr\n(ctorch._C\n_VariableFunctionsClass\n" + text(b"from_file") + b"tR",
            "__builtin__.getattr",
        ),
        (
            b"c__builtin__\ngetattr\n(ctorch._C\n_VariableFunctionsClass\n" + text(b"from_file") + b"tR",
            "torch._C._VariableFunctionsClass",
        ),
        (
            b"c__builtin__\ngetattr\n(ctorch._C\n_VariableFunctionsClass\n]tR",
            "torch._C._VariableFunctionsClass",
        ),
        (b"coperator\nattrgetter\n" + text(b"system") + b"\x85R", "operator.attrgetter"),
    ],
)
def test_everything_else_is_refused_by_name(extra: bytes, name: str) -> None:
    assert name in names(with_extra(extra))


def test_beside_a_module_the_same_is_refused() -> None:
    assert names(b"](" + MODULE + b"cos\nsystem\n)Re") == ["os.system"]
    assert names(b"cos\nsystem\n)R0" + MODULE) == ["os.system"]


def test_without_a_tensor_no_class_is_accepted() -> None:
    assert names(b"cmy.nets\nNet\n)\x81}b") == ["my.nets.Net"]
    assert names(b"ctorch.nn.functional\nrelu\n") == ["torch.nn.functional.relu"]
    assert names(b"cmy.nets\nNet\n)\x81}" + text(b"_modules") + b"}sb") == ["my.nets.Net"]
    assert names(b"}") == []
    loaded = load(MemorySource(b"cmy.nets\nConfig\n)\x81."))
    assert refused(loaded) and not refused(loaded, beside_tensors=True)


def test_settings_that_torch_saved_without_a_tensor_are_accepted(tmp_path: Path) -> None:
    def saved(pickle: bytes) -> list[str]:
        with zipfile.ZipFile(tmp_path / "a.bin", "w") as file:
            file.writestr("a/data.pkl", b"\x80\x02" + pickle + b".")
            file.writestr("a/version", b"3\n")
        return [str(name) for name in refused(load(FileSource(tmp_path / "a.bin")))]

    settings = b"cmy.nets\nSettings\n)\x81}" + text(b"colour") + b"cmy.nets\nColour\n" + text(b"red") + b"\x85Rsb"
    assert saved(settings) == []
    assert saved(LINEAR + b")\x81}b") == ["torch.nn.modules.linear.Linear"]
    assert saved(settings + b"cos\nsystem\n" + text(b"true") + b"\x85R\x86") == ["os.system"]
    assert saved(settings + b"cmy.nets\nrun\n)R\x86") == ["my.nets.run"]


@pytest.mark.parametrize(
    "extra",
    [
        b"cmy.nets\nConfig\n)\x81}" + text(b"lr") + b"K\x01sb",
        b"cmy.nets\nMetrics\nK\x01\x85\x81",  # a named tuple
        b"ccopyreg\n__newobj__\n(cmy.nets\nMetrics\nK\x01tR",
        b"cmy.nets\nMetrics\n)}" + text(b"a") + b"K\x01s\x92",
        b"cmy.nets\nSettings\n)R}" + text(b"lr") + b"K\x01sb",  # a subclass of SimpleNamespace
        b"cmy.nets\nattributes\n)\x81" + text(b"lr") + b"K\x01s",  # of dict
        b"cmy.nets\nCallback\n",  # a class as a key or a setting
        b"ctorch.nn.modules.linear\nLinear\n",
        b"ctorch.optim.adam\nAdam\n)\x81}" + text(b"state") + b"}sb",
        b"ctorch.nn.functional\nrelu\n",
    ],
)
def test_settings_and_classes_beside_a_tensor_are_accepted(extra: bytes) -> None:
    tensor = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\n))\x89tR"
    assert names(b"(" + tensor + extra + b"l") == []
    assert names(b"(" + MODULE + extra + b"l") == []


def subclass(cls: bytes) -> bytes:
    """A tensor without elements, of another class."""
    parts = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n" + cls + b"(ctorch\nfloat32\n))\x89t}"
    return b"ctorch._tensor\n_rebuild_from_type_v2\n(" + parts + b"tR"


def test_classes_of_tensors_are_accepted() -> None:
    assert names(subclass(b"cmy.nets\nTensor\n")) == []
    assert names(subclass(b"cos\nsystem\n")) == ["os.system"]
    assert names(subclass(b"cmy.nets\nTensor\n") + b"cmy.nets\nTensor\n)\x81)R\x86") == ["my.nets.Tensor"]


def test_a_module_that_is_called_is_refused() -> None:
    assert names(b"](" + MODULE + MODULE + b")R" + b"e") == ["my.nets.Net"]
    assert names(MODULE + b"q\x00)R0h\x00") == ["my.nets.Net"]


def test_no_name_of_the_library_is_accepted_beside_a_module() -> None:
    """Made without a call, which is the most that is ever accepted; every name of sixty modules."""
    modules = [importlib.import_module(name) for name in sorted(sys.stdlib_module_names) if name in sys.modules]
    known = {"OrderedDict", "Counter", "defaultdict", "deque", "Namespace", "SimpleNamespace", "UUID", "_reconstructor"}
    known |= {"Any"}
    offered = 0
    for module in modules:
        for name, value in sorted(vars(module).items()):
            where = f"{module.__name__}.{name}"
            if (
                not callable(value)
                or name in known
                or module.__name__ in ("builtins", "datetime", "decimal", "pathlib")
            ):
                continue
            if where in ("_codecs.encode", "copyreg.__newobj__", "fractions.Fraction") or not name.isascii():
                continue
            pickle = with_extra(b"c" + module.__name__.encode() + b"\n" + name.encode() + b"\n)\x81")
            assert names(pickle) == [where]
            offered += 1
    assert offered > 1000


def test_many_objects_with_the_same_arguments_take_no_time() -> None:
    count = 20_000
    arguments = b"(" + b"K\x01" * count + b"tq\x00"
    objects = b"(" + b"cm\nT\nh\x00\x81" * count + b"l"
    begin = time.process_time()
    assert names(b"](" + MODULE + arguments + objects + GETATTR + b"(cm\nT\n" + text(b"a") + b"tRe") == []
    assert time.process_time() - begin < 20


TRACED = b"ctorch.fx.graph_module\nreduce_graph_module\n"


def test_modules_that_torch_fx_traced_are_accepted() -> None:
    body = PARTS + text(b"_tracer_cls") + b"ctorch.fx._symbolic_trace\nTracer\nu"
    assert names(TRACED + body + text(b"import os") + b"\x86R") == []
    assert names(b"]" + MODULE + b"a" + TRACED + body + text(b"import os") + b"\x86Ra") == []


@pytest.mark.parametrize(
    "made",
    [
        TRACED + text(b"import os") + b"\x85R",
        TRACED + b"}" + text(b"import os") + b"\x86R",
        TRACED + PARTS + b"uK\x01\x86R",
        TRACED + PARTS + b"u" + text(b"") + b"\x86R)R",  # calls it
        TRACED + PARTS + b"u" + text(b"") + b"\x86\x81",
        TRACED,
        TRACED.replace(b"reduce_graph", b"reduce_package_graph") + PARTS + b"u" + text(b"") + b"\x86R",
    ],
)
def test_other_calls_of_what_executes_code_are_refused(made: bytes) -> None:
    told = names(b"]" + MODULE + b"a" + made + b"a")
    assert len(told) == 1
    assert told[0].startswith("torch.fx.graph_module.reduce_")


@pytest.mark.parametrize("module", ["torch.amp.grad_scaler", "torch.cuda.amp.grad_scaler"])
def test_scalers_of_gradients_and_loaders_of_data_are_accepted(module: str) -> None:
    scaler = f"c{module}\n".encode()
    states = b"ccollections\ndefaultdict\n" + scaler + b"_refresh_per_optimizer_state\n\x85R"
    assert names(with_extra(scaler + b"GradScaler\n)\x81}" + text(b"states") + states + b"sb")) == []
    loader = b"ctorch.utils.data.dataloader\nDataLoader\n)\x81}"
    collate = b"ctorch.utils.data._utils.collate\ndefault_collate\n"
    assert names(with_extra(loader + text(b"collate_fn") + collate + b"sb")) == []
    assert names(with_extra(b"ctorch.utils.data.distributed\nDistributedSampler\n)\x81")) == []


@pytest.mark.parametrize(
    "extra",
    [
        b"ctorch.utils.data.dataloader\n_MultiProcessingDataLoaderIter\n)\x81",
        b"ctorch.utils.data.dataloader\nDataLoader\nK\x01\x85R",
        b"ctorch.utils.data._utils.collate\ndefault_collate\n)R",
        b"ctorch.amp.grad_scaler\n_refresh_per_optimizer_state\n)R",
        b"ctorch.amp.grad_scaler\nGradScaler\n" + text(b"cpu") + b"\x85R",
        b"ctorch.amp.autocast_mode\nautocast\n)\x81",
    ],
)
def test_their_neighbours_are_refused_and_so_are_calls(extra: bytes) -> None:
    assert len(names(with_extra(extra))) == 1


UNINITIALIZED = b"ctorch.nn.parameter\nUninitializedParameter\n"


def test_parameters_without_a_shape_and_handles_of_hooks_are_accepted() -> None:
    assert names(b"}" + text(b"w") + UNINITIALIZED + b"\x88\x85Rs") == []
    assert names(with_extra(UNINITIALIZED.replace(b"Parameter", b"Buffer") + b"\x89\x85R")) == []
    assert names(with_extra(b"ctorch.utils.hooks\nRemovableHandle\n)\x81}K\x00)\x87b")) == []


@pytest.mark.parametrize(
    "extra",
    [
        UNINITIALIZED + text(b"x") + b"\x85R",
        UNINITIALIZED + b"\x88\x85R)R",
        b"ctorch.utils.hooks\nRemovableHandle\n}\x85R",
        b"ctorch.utils.hooks\nunserializable_hook\n",
    ],
)
def test_they_are_refused_if_they_are_made_otherwise(extra: bytes) -> None:
    assert len(names(with_extra(extra))) == 1


SCRIPT = b"ctorch\nScriptObject\n"


def test_objects_of_torchscript_are_accepted_with_a_state() -> None:
    assert names(with_extra(SCRIPT + b")\x81" + text(b"__torch__.Packed") + b"\x85b")) == []


@pytest.mark.parametrize(
    "made", [SCRIPT + b")\x81", SCRIPT + b")R}b", SCRIPT + b"K\x01\x85\x81}b", SCRIPT + b")\x81}b)R"]
)
def test_other_objects_of_torchscript_are_refused(made: bytes) -> None:
    assert names(with_extra(made)) == ["torch.ScriptObject"]
