"""Which classes and functions a pickle may name besides those that are known: what people put beside tensors.

A whole module names its classes, and whoever wrote them; a checkpoint, those of its settings. Nothing of that is
imported or called here: objects stay inert records, of which tensors and plain values are taken. What is accepted all
the same is as little as these need, so that a file that would do something with what every installation has when
PyTorch unpickles it is refused and not converted into one that looks harmless:

* a class of somebody's own (of no module of Python's library, of numpy, of torch, or of what torch needs), however it
  is made: members of enumerations are calls with their value; and a function of somebody's own, if nothing calls it;
* a class of torch's modules, optimizers, distributions, datasets and what else training needs of torch, if it is made
  as `__reduce_ex__` makes objects, called without arguments at most, or mentioned;
* a function of torch.nn that modules keep as an attribute (an activation), and a hint of a type, if nothing calls it;
* a parameter of a lazy module, which has no shape yet; an object of TorchScript that quantized layers keep weights in;
* a module that torch.fx traced, whose code unpickling would execute: it is read as the text that it is;
* what only refers to one of these: a partial function, a bound method, a member of an enumeration by its name;
* and all of them only beside tensors; what is somebody's own also in a file of torch.save without any, such as the
  settings of a training run. Nothing is accepted whose result is called.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

from panmodel.model.torch.modules import (
    SCRIPT_OBJECTS,
    TRACED,
    UNINITIALIZED,
    is_module,
    is_script_object,
    is_traced,
    is_uninitialized,
)
from panmodel.wire.pickle import GETATTR, Dictionary, Global, Object, is_reference
from panmodel.wire.torch_records import ArrayRecord, ComposedRecord, MetaRecord, SubclassRecord, TensorRecord
from panmodel.wire.torch_unpickling import Loaded


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


#: Python's library under the names of Python 2 and of versions that the running one is not.
_OTHER_LIBRARY = _words(
    "BaseHTTPServer CGIHTTPServer ConfigParser HTMLParser Queue SimpleHTTPServer SocketServer StringIO Tkinter",
    "UserDict UserList UserString __builtin__ __builtins__ _winreg aifc annotationlib anydbm asynchat asyncore",
    "audiodev binhex cPickle cStringIO cgi cgitb chunk commands compiler compression cookielib copy_reg crypt",
    "dbhash dircache distutils dl dumbdbm dummy_thread exceptions fpformat future_builtins gdbm hotshot",
    "htmlentitydefs htmllib httplib ihooks imp imputil java jython lib2to3 md5 mhlib mimetools mimify msilib",
    "multifile mutex new nntplib os2emxpath ossaudiodev pip pipes pkg_resources popen2 posixfile repr rexec",
    "rfc822 riscos riscospath robotparser sets setuptools sgmllib sha sitecustomize smtpd sndhdr spwd sre statvfs",
    "stringold sunaudio sunaudiodev telnetlib thread toaiff urllib2 urlparse user usercustomize uu whichdb xdrlib",
    "xmlrpclib",
)
#: What torch cannot be installed without: sympy, for one, evaluates the text that its objects are made of.
_WITH_TORCH = _words("sympy mpmath jinja2 markupsafe fsspec filelock functorch torchgen")
#: What every installation has: Python's library, of whichever version, numpy, torch and what it needs.
_LIBRARY = sys.stdlib_module_names | _OTHER_LIBRARY | _WITH_TORCH | {"numpy", "_codecs", "torch", "__torch__"}
#: Where torch's own modules, optimizers, distributions and datasets are defined.
_OF_TORCH: tuple[str, ...] = ("torch.nn.", "torch.optim.", "torch.ao.nn.", "torch.ao.quantization.")
_OF_TORCH += ("torch.quantization.", "torch.distributions.", "torch.utils.data.dataset", "torch.utils.data.sampler")
#: What modules keep as attributes: activations, losses, initialisations.
_FUNCTIONS = {
    "torch": _words(
        "relu relu_ selu celu sigmoid tanh softmax log_softmax sin cos exp log sqrt abs square sum mean",
        "add sub mul div cat stack matmul bmm",
    ),
    "torch.nn.functional": _words(
        "relu relu_ relu6 gelu elu elu_ selu selu_ celu silu mish softplus softsign softmax log_softmax softmin",
        "sigmoid tanh tanhshrink hardtanh hardsigmoid hardswish leaky_relu leaky_relu_ prelu rrelu logsigmoid",
        "threshold glu normalize dropout mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss kl_div",
        "binary_cross_entropy binary_cross_entropy_with_logits max_pool2d avg_pool2d interpolate",
    ),
    "torch._C._nn": _words("gelu elu silu mish softplus hardtanh hardswish leaky_relu log_sigmoid glu relu6"),
    "torch.nn.init": _words(
        "uniform_ normal_ trunc_normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_",
        "kaiming_uniform_ kaiming_normal_ orthogonal_ sparse_",
    ),
}
#: What settings and modules keep and nothing calls: hints of types, what callbacks write lines with, what puts batches
#: together, who traced it.
_OF_SETTINGS = {
    "typing": _words(
        "Union Optional Tuple List Dict Set FrozenSet Callable Iterable Iterator Sequence Mapping Literal Type",
        "OrderedDict DefaultDict Deque Counter",
    ),
    "inspect": _words("_empty"),
    "builtins": _words("print"),
    "__builtin__": _words("print"),
    "torch.amp.grad_scaler": _words("_refresh_per_optimizer_state"),
    "torch.cuda.amp.grad_scaler": _words("_refresh_per_optimizer_state"),
    "torch.utils.data._utils.collate": _words("default_collate default_convert"),
    "torch.ao.quantization.fx._lower_to_native_backend": _words("_load_packed_weight _save_packed_weight"),
    "torch.fx._symbolic_trace": _words("Tracer"),
    "torch.fx.experimental.proxy_tensor": _words("PythonKeyTracer _ModuleStackTracer"),
}
#: Classes of torch's that are accepted by themselves: others in their modules may act, if only when they are deleted.
COMPANIONS = frozenset(
    Global(module, name)
    for module, name in (
        ("torch.amp.grad_scaler", "GradScaler"),
        ("torch.cuda.amp.grad_scaler", "GradScaler"),
        ("torch.utils._pytree", "LeafSpec"),
        ("torch.utils._pytree", "TreeSpec"),
        ("torch.utils.data.dataloader", "DataLoader"),
        ("torch.utils.data.distributed", "DistributedSampler"),
        ("torch.utils.hooks", "RemovableHandle"),
    )
)
#: Its attributes are torch's own functions, torch.relu for one: `getattr` of it refers to them.
FUNCTIONS_OF_TORCH = Global("torch._C", "_VariableFunctionsClass")
#: What old modules call when they are unpickled: it returns an object that stands for a library, and takes nothing.
_HARMLESS = Global("torch.nn.backends.thnn", "_get_thnn_function_backend")
_TENSORS = (TensorRecord, ArrayRecord, ComposedRecord, MetaRecord, SubclassRecord)
_CLASS_NAME = re.compile(r"[^\W\d]\w*")
_MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def refused(loaded: Loaded, *, beside_tensors: bool = False) -> list[Global]:
    """The names that make a pickle unsafe to read, in the order of their mention.

    Args:
        loaded: The pickle.
        beside_tensors: It is a part of a file that holds tensors.
    """
    names = list(loaded.unknown)
    if not names:
        return []
    there = _holders(loaded.value)
    beside_tensors |= any(isinstance(item, _TENSORS) or is_module(item) or is_uninitialized(item) for item in there)
    if not beside_tensors and loaded.kind == "pickle":
        return names
    objects = [item for item in there if isinstance(item, Object)]
    made = {item.cls for item in there if isinstance(item, (Object, SubclassRecord)) and isinstance(item.cls, Global)}
    accepted = _of_somebody(names, made, loaded) | _references(objects, loaded)
    if beside_tensors:
        accepted |= _of_torch(names, made, loaded) | _traced(objects, loaded) | _made_as_known(objects, loaded)
    return [name for name in names if name not in accepted]


def _of_somebody(names: Iterable[Global], made: set[Global], loaded: Loaded) -> set[Global]:
    """Classes that may be anybody's, and functions that nothing calls."""
    theirs = {name for name in names if is_foreign(name)}
    classes = {name for name in theirs if name in made - loaded.called or is_named_as_class(name)}
    return (classes | theirs - loaded.called) - loaded.recalled


def _of_torch(names: Iterable[Global], made: set[Global], loaded: Loaded) -> set[Global]:
    """Classes of torch that are made as objects are, and functions and hints of types that nothing calls."""
    classes = {name for name in names if _is_class_of_torch(name)}
    accepted = {name for name in classes if name in made - loaded.called or is_named_as_class(name)} - loaded.given
    accepted |= {name for name in names if is_function(name) or is_of_settings(name)} - loaded.called - made
    return accepted | ({_HARMLESS} - loaded.given)


def _traced(objects: Iterable[Object], loaded: Loaded) -> set[Global]:
    """What makes modules that torch.fx traced, if it is given the state of one and what it returns is not called."""
    calls = [made for made in objects if made.cls == TRACED]
    fits = bool(calls) and all(is_traced(made) and is_module(made) for made in calls)
    return {TRACED} - loaded.recalled if fits else set()


def _made_as_known(objects: Iterable[Object], loaded: Loaded) -> set[Global]:
    """Parameters of lazy modules, and objects of TorchScript, if all are made as torch pickles them."""
    named = UNINITIALIZED | SCRIPT_OBJECTS
    odd = (each for each in objects if each.cls in named and not (is_uninitialized(each) or is_script_object(each)))
    return set(named) - {each.cls for each in odd} - loaded.recalled - (loaded.called & SCRIPT_OBJECTS)


def _references(objects: Iterable[Object], loaded: Loaded) -> set[Global]:
    """What is called for a reference alone; and the class of torch's functions, if these are what is referred to."""
    spoilt = {
        made.root
        for made in objects
        if not refers_to_known(made) or (made.cls in loaded.referring and not is_reference(made))
    }
    accepted = {name for name in loaded.referring if name not in spoilt}
    if not spoilt and FUNCTIONS_OF_TORCH not in loaded.called | {made.root for made in objects}:
        accepted.add(FUNCTIONS_OF_TORCH)
    return accepted


def refers_to_known(made: Object) -> bool:
    """Whether an object refers to none of torch's own functions but those that modules keep."""
    if made.args[:1] != (FUNCTIONS_OF_TORCH,):
        return True
    return made.cls in GETATTR and any(made.args[1:] == (name,) for name in _FUNCTIONS["torch"])


def is_named_as_class(name: Global) -> bool:
    """Whether it is named as classes are and functions are not, with nothing else to tell them apart."""
    return name.name.lstrip("_")[:1].isupper()


def is_function(name: Global) -> bool:
    """Whether this is a function of torch.nn that modules keep as an attribute."""
    return name.module != "torch" and name.name in _FUNCTIONS.get(name.module, ())


def is_of_settings(name: Global) -> bool:
    """Whether this is what settings and modules keep, and nothing calls."""
    return name.name in _OF_SETTINGS.get(name.module, ())


def is_foreign(name: Global) -> bool:
    """Whether this may be a class or function that somebody wrote for a model, rather than one that all have."""
    return _is_plain(name) and name.module.partition(".")[0] not in _LIBRARY


def _is_plain(name: Global) -> bool:
    """Whether it leads through modules to something in one, and through no attributes."""
    if not _MODULE_NAME.fullmatch(name.module) or not _CLASS_NAME.fullmatch(name.name):
        return False
    return not name.name.startswith("__")


def _is_class_of_torch(name: Global) -> bool:
    if name in COMPANIONS:
        return True
    parts = name.module.split(".")
    return _is_plain(name) and name.module.startswith(_OF_TORCH) and not any(part.startswith("_") for part in parts)


def _holders(value: object) -> list[object]:
    """Every container, object and record that a value holds, each once."""
    found: list[object] = []
    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if not isinstance(item, _HOLDERS) or id(item) in seen:
            continue
        seen.add(id(item))
        found.append(item)
        pending.extend(_held(item))
    return found


_HOLDERS = (dict, list, tuple, set, frozenset, Object, *_TENSORS)


def _held(item: object) -> Iterable[object]:
    if isinstance(item, Object):
        return [item.cls, item.args, item.kwargs, *item.states, *item.elements, *item.items]
    if isinstance(item, TensorRecord):
        return [item.state]
    if isinstance(item, SubclassRecord):
        return [item.inner, item.state, item.args]
    if isinstance(item, ArrayRecord):
        return item.items
    if isinstance(item, (ComposedRecord, MetaRecord)):
        return []
    if isinstance(item, Mapping):
        attributes = [item.attributes] if isinstance(item, Dictionary) else []
        return [*item.keys(), *item.values(), *attributes]
    assert isinstance(item, (list, tuple, set, frozenset))
    return item
