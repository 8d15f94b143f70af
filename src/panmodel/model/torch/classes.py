"""Which classes and functions a pickle may name besides those that are known: what people put beside tensors.

A whole module names its classes, and whoever wrote them; a checkpoint, those of its settings. Nothing of that is
imported here: objects stay inert records, of which tensors and plain values are taken. What is accepted all the same is
as little as these need, so that a file that would do something when PyTorch unpickles it is refused and not converted
into one that looks harmless:

* a class of somebody's own (of no module of Python's library, of numpy, or of torch outside of its modules and
  optimizers), if it is made as `__reduce_ex__` makes objects, called without arguments at most, or mentioned;
* a function of torch.nn that modules keep as an attribute (an activation), if nothing calls it;
* and both only beside tensors: a file that has none is no checkpoint.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

from panmodel.model.torch.modules import is_module
from panmodel.wire.pickle import Dictionary, Global, Object
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
_LIBRARY = sys.stdlib_module_names | _OTHER_LIBRARY | {"numpy", "_codecs"}
#: Where torch's own modules and optimizers are defined.
_OF_TORCH = ("torch.nn.", "torch.optim.", "torch.ao.nn.", "torch.ao.quantization.", "torch.quantization.")
#: What modules keep as attributes: activations, losses, initialisations.
_FUNCTIONS = {
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
    tensors = [item for item in there if isinstance(item, _TENSORS) or is_module(item)]
    if not tensors and not beside_tensors:
        return names
    made = {item.cls for item in there if isinstance(item, (Object, SubclassRecord)) and isinstance(item.cls, Global)}
    made -= loaded.called
    accepted = {name for name in names if _may_be_class(name) and (name in made or _is_called_so(name))} - loaded.given
    accepted |= {name for name in names if _is_function(name)} - loaded.called - made
    accepted |= {_HARMLESS} - loaded.given
    return [name for name in names if name not in accepted]


def _is_called_so(name: Global) -> bool:
    """Whether it is called as classes are and functions are not, with nothing else to tell them apart."""
    return name.name.lstrip("_")[:1].isupper()


def _is_function(name: Global) -> bool:
    return name.name in _FUNCTIONS.get(name.module, ())


def _may_be_class(name: Global) -> bool:
    """Whether a class of that name may be one that somebody wrote for a model."""
    if not _MODULE_NAME.fullmatch(name.module) or not _CLASS_NAME.fullmatch(name.name) or name.name.startswith("__"):
        return False
    parts = name.module.split(".")
    if parts[0] == "torch":
        return name.module.startswith(_OF_TORCH) and not any(part.startswith("_") for part in parts)
    return not is_library(name.module)


def is_library(module: str) -> bool:
    """Whether a module is of Python's library, of whichever version, or of numpy: every installation has it."""
    return module.partition(".")[0] in _LIBRARY


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
