"""Which classes and functions a pickle may name besides those that are known: what whole modules consist of.

A whole module names its classes, and whoever wrote them. Nothing of that is imported here: objects stay inert records,
of which the tensors and plain settings are taken. What is accepted all the same is as little as modules need, so that a
file that would do something when PyTorch unpickles it is refused and not converted into one that looks harmless:

* a class of objects that are made without arguments and filled (what modules are), of no module of Python's library, of
  numpy, or of torch outside torch.nn, and only in files that hold a module;
* a function of torch.nn that modules keep as an attribute (an activation), if nothing calls it;
* likewise the class of a tensor, for which another tensor is recast.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

from panmodel.model.torch.modules import is_module
from panmodel.wire.pickle import Dictionary, Global, Object
from panmodel.wire.torch_records import ArrayRecord, SubclassRecord, TensorRecord


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
_LIBRARY = sys.stdlib_module_names | _OTHER_LIBRARY
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
_CLASS_NAME = re.compile(r"[^\W\d]\w*")
_MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def refused(value: object, unknown: Iterable[Global], called: frozenset[Global]) -> list[Global]:
    """The names that make a pickle unsafe to read, in the order of their mention.

    Args:
        value: The pickled value.
        unknown: The names in it that are not known.
        called: Those that unpickling calls.
    """
    names = list(unknown)
    if not names:
        return []
    there = _holders(value)
    objects = [item for item in there if isinstance(item, Object)]
    accepted = {item.cls for item in there if isinstance(item, SubclassRecord) and _may_be_class(item.cls)}
    if any(map(is_module, objects)):
        classes = {item.cls for item in objects if isinstance(item.cls, Global)}
        accepted |= {name for name in classes if _may_be_class(name)} | {name for name in names if _is_function(name)}
        accepted.add(_HARMLESS)
    odd = {item.cls for item in objects if not _is_filled(item)} | called
    return [name for name in names if name not in accepted or (name in odd and name != _HARMLESS)]


def _is_filled(item: Object) -> bool:
    """Whether an object was made as `__reduce_ex__` of a plain class makes it: without arguments, by no call."""
    return not (item.called or item.args or item.kwargs)


def _is_function(name: Global) -> bool:
    return name.name in _FUNCTIONS.get(name.module, ())


def _may_be_class(name: Global) -> bool:
    """Whether a class of that name may be one that somebody wrote for a model."""
    if not _MODULE_NAME.fullmatch(name.module) or not _CLASS_NAME.fullmatch(name.name) or name.name.startswith("__"):
        return False
    parts = name.module.split(".")
    if parts[0] == "torch":
        return parts[1:2] == ["nn"] and not any(part.startswith("_") for part in parts)
    return parts[0] not in _LIBRARY and parts[0] not in ("numpy", "_codecs")


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


_HOLDERS = (dict, list, tuple, set, frozenset, Object, TensorRecord, SubclassRecord, ArrayRecord)


def _held(item: object) -> Iterable[object]:
    if isinstance(item, Object):
        return [item.cls, item.args, item.kwargs, *item.states, *item.elements, *item.items]
    if isinstance(item, TensorRecord):
        return [item.state]
    if isinstance(item, SubclassRecord):
        return [item.inner, item.state, item.args]
    if isinstance(item, ArrayRecord):
        return item.items
    if isinstance(item, Mapping):
        attributes = [item.attributes] if isinstance(item, Dictionary) else []
        return [*item.keys(), *item.values(), *attributes]
    assert isinstance(item, (list, tuple, set, frozenset))
    return item
