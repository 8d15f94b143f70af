"""Descriptions of Keras models: layers that carry code, and names that Keras would import.

Keras makes an object of every `{"class_name": …, "config": …}`, of whatever module it names; code lies in Lambda layers
as marshalled functions. Nothing of it is unpacked here, names are held against those that Keras itself has.

Source: keras/src/saving/serialization_lib.py, keras/src/layers/core/lambda_layer.py
"""

from __future__ import annotations

import builtins
import json
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNFINISHED, UNREADABLE, Subject
from panmodel.scanners import tensorflow_operators
from panmodel.wire.tensorflow_messages import NodeDef

LAMBDA = Rule(
    "PM-KERAS-LAMBDA",
    Level.DANGEROUS,
    "A layer carries Python code, which loading or running the model executes.",
    "Do not load it; ask its author to write the layer as operations, or for the weights alone.",
)
MODULE = Rule(
    "PM-KERAS-MODULE",
    Level.DANGEROUS,
    "The description names a module or function outside of Keras' layers, which loading imports and calls.",
    "Do not load it; no model of Keras needs this.",
)
LOADER = Rule(
    "PM-KERAS-LOADER",
    Level.DANGEROUS,
    "A layer that loads a further model, by a way that can execute code.",
    "Do not load it; scan what it refers to, and ask for a model without such layers.",
)
VOCABULARY = Rule(
    "PM-KERAS-FILE",
    Level.DANGEROUS,
    "A layer reads a file of the computer that loads the model.",
    "Do not load it; the vocabulary belongs into the model itself.",
)
CUSTOM = Rule(
    "PM-KERAS-CUSTOM",
    Level.UNDECIDED,
    "A class or function that Keras does not have: loading takes it from the code that the caller hands in.",
    "It is as safe as that code.",
)
DUPLICATE = Rule(
    "PM-JSON-DUPLICATE",
    Level.UNDECIDED,
    "An object in the JSON text has a key twice: two readers may see different things.",
    "Ask its author for a file without duplicates.",
)
RULES = (LAMBDA, MODULE, LOADER, VOCABULARY, CUSTOM, DUPLICATE)

_LOADERS = frozenset({"TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
_LOOKUPS = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
#: What descriptions have beside the public classes: markers, and names that only older versions had.
_ALSO = frozenset(
    {
        "Functional",
        "Merge",
        "Graph",
        "AtrousConvolution1D",
        "AtrousConvolution2D",
        "GlorotNormalV2",
        "TensorShape",
        "TypeSpec",
        "DType",
        "TensorFlowOpLayer",
        "TFOpLambda",
        "SlicingOpLambda",
        "ClassMethod",
        "InstanceMethod",
        "InstanceProperty",
        "Operation",
        "BatchNormalizationV1",
        "BatchNormalizationV2",
        "GRUV1",
        "LSTMV1",
        "SyncBatchNormalization",
        "Policy",
        "PolicyV1",
        "LossScaleOptimizerV3",
        "DynamicLossScale",
        "FixedLossScale",
        "GlobalPolicy",
        "RandomFourierFeatures",
        "AddLoss",
        "AddMetric",
        "TensorFlowOp",
        "Ragged",
        "__tensor__",
        "__numpy__",
        "__bytes__",
        "__ellipsis__",
        "__slice__",
        "__typespec__",
        "__keras_tensor__",
        "__tuple__",
        "__dict__",
    }
)
#: Classes of its own that Keras 2.10 to 2.15 registers as it registers those of a user.
_REGISTERED = frozenset(
    {
        f"Custom>{name}"
        for name in (
            *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lion", "Nadam", "RMSprop", "SGD"),
            *("CustomScaleLayer", "SharpnessAwareMinimization"),
        )
    }
)
_ALSO |= _REGISTERED
_OWN_MODULES = re.compile(
    r"(tensorflow\.python\.|tf_)?keras(\.src)?(\.(layers|models|engine|optimizers|losses|metrics|initializers"
    r"|regularizers|constraints|activations|dtype_policies|mixed_precision|quantizers|ops|legacy|random)(\.\w+)*)?"
)
_OPERATIONS = re.compile(r"keras(\.src)?\.(ops|activations|random)(\.\w+)*")
_VALUES = frozenset({"dict", "list", "tuple", "set", "int", "float", "str", "bool", "bytes", "complex", "slice"})
#: How base64 text of a marshalled function begins: a code object, with or without the mark of a reference.
_MARSHALLED = re.compile(r"\s*(4w|Yw)[A-P]AAAA")
_TENSOR_API = re.compile(
    r"(compat\.v1\.)?((math|nn|__operators__|linalg|signal|sparse|image|strings|ragged|random|keras\.backend"
    r"|experimental\.numpy|debugging|dtypes|quantization|sets|bitwise)\.)?[a-z_0-9]+"
)
_NOT_TENSORS = frozenset(
    {"py_function", "numpy_function", "py_func", "load_library", "load_op_library", "print", "Print"}
)
_NOT_TENSORS |= {"fixed_unigram_candidate_sampler"}
_NOT_TENSORS |= {"read_file", "write_file", "matching_files", "function", "get_file", "eval", "exec", "deserialize"}
_NODE_OPERATOR = re.compile(r'"?\bop"?\s*:\s*\\?"(\w+)')
_WITH_FILES = tensorflow_operators.SAVERS | tensorflow_operators.TABLES | tensorflow_operators.READERS.keys()
_PRINTED_TO_FILE = re.compile(r"file:|ZmlsZTo")  # and the same in base64
_TRACES = re.compile(rb'"(?:Lambda|__lambda__|TFSMLayer|TorchModuleWrapper|lambda)"')
_TEXTS_IN_TEXTS = 4
#: Bytes of one JSON text that is looked at, and objects and lists in it.
LARGEST, _CONTAINERS = 64 << 20, 2_000_000


@cache
def _known(kind: str) -> frozenset[str]:
    return frozenset(resources.files(__package__).joinpath("known", f"keras_{kind}.txt").read_text("ascii").split())


def scan_text(subject: Subject, text: bytes, *, depth: int = 0) -> Any:
    """Look at a JSON text, every object of it, keys that are there twice included.

    Returns:
        What the text says; None if it is broken, which is reported.
    """
    if len(text) > LARGEST or text.count(b"{") + text.count(b"[") > _CONTAINERS:
        subject.report(UNFINISHED, f"{len(text)} bytes of JSON are more than is looked at")
        return None
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _judge_pairs(subject, pairs, depth))
    except (ValueError, RecursionError) as error:
        for trace in sorted(set(_TRACES.findall(text)))[:4]:
            subject.report(LAMBDA, f"broken JSON text with {trace.decode()}")
        subject.report(UNREADABLE, f"broken JSON text: {str(error)[:200]}")
        return None


def _judge_pairs(subject: Subject, pairs: list[tuple[str, Any]], depth: int) -> dict[str, Any]:
    found = dict(pairs)
    judge(subject, found, depth=depth)
    if len(found) != len(pairs):
        subject.report(DUPLICATE, f"an object of {len(pairs)} entries has only {len(found)} keys")
        judge(subject, dict(reversed(pairs)), depth=depth)
    return found


def judge(subject: Subject, found: Mapping[str, Any], *, depth: int = 0) -> None:
    """Judge one object of a description."""
    for key, value in found.items():
        _judge_value(subject, key, value, depth)
    class_name = found.get("class_name")
    if isinstance(class_name, str) and "config" in found:
        _judge_class(subject, class_name, found)


def _judge_value(subject: Subject, key: str, value: Any, depth: int) -> None:
    values = value if isinstance(value, list) else [value]
    for each in values:
        if not isinstance(each, str):
            continue
        if _MARSHALLED.match(each):
            subject.report(LAMBDA, f"{key[:80]!r} holds a marshalled function of {len(each)} characters")
        elif each.lstrip()[:1] == "{" and '"class_name"' in each and depth < _TEXTS_IN_TEXTS:
            scan_text(subject, each.encode("utf-8", "surrogatepass"), depth=depth + 1)
        elif key.endswith("_type") and each == "lambda":
            subject.report(LAMBDA, f"{key[:80]!r} is a lambda function")


def _judge_class(subject: Subject, name: str, found: Mapping[str, Any]) -> None:
    config, module = found["config"], found.get("module")
    title = _title(name, config)
    if name in ("Lambda", "__lambda__"):
        subject.report(LAMBDA, title)
    elif name in _LOADERS:
        subject.report(LOADER, title)
    elif isinstance(module, str):
        _judge_module(subject, name, module, found)
    elif name == "function":
        _judge_function(subject, config, title)
    elif name not in _known("classes") and name not in _ALSO:
        subject.report(CUSTOM, f"{title} is no class of Keras")
    else:
        _judge_registered(subject, name, found.get("registered_name"), title)
    if isinstance(config, dict):
        _judge_config(subject, name, config, title)


def _title(name: str, config: Any) -> str:
    own = config.get("name") if isinstance(config, dict) else None
    return f"{name[:100]} layer {own[:100]!r}" if isinstance(own, str) else name[:100]


def _judge_module(subject: Subject, name: str, module: str, found: Mapping[str, Any]) -> None:
    """Judge a class or function that is named with its module, which Keras would import."""
    config, registered = found["config"], found.get("registered_name")
    named = f"{module[:100]}.{config[:100] if name == 'function' and isinstance(config, str) else name[:100]}"
    top = module.partition(".")[0]
    if name == "function":
        own = module == "builtins" or _OWN_MODULES.fullmatch(module)
        if own and isinstance(config, str) and (config in _known("functions") or _OPERATIONS.fullmatch(module)):
            return
        handed_in = module == "builtins" and not hasattr(builtins, str(config))
        subject.report(CUSTOM if handed_in else MODULE, f"names the function {named}")
    elif module == "builtins":
        if name not in _VALUES and not name.startswith("__"):
            subject.report(MODULE, f"names {named}")
    elif _OWN_MODULES.fullmatch(module):
        if name not in _known("classes") and name not in _ALSO and not _OPERATIONS.fullmatch(module):
            subject.report(CUSTOM, f"names {named}, which is no class of Keras")
        else:
            _judge_registered(subject, name, registered, named)
    elif top in sys.stdlib_module_names or top in ("numpy", "torch", "tensorflow", "keras", "jax"):
        subject.report(MODULE, f"names {named}")
    else:
        said = f", registered as {registered[:100]!r}" if isinstance(registered, str) else ""
        subject.report(CUSTOM, f"names {named}{said}")


def _judge_registered(subject: Subject, name: str, registered: Any, named: str) -> None:
    """Judge a class of Keras by the name that something else may be registered under, which is looked up first."""
    if isinstance(registered, str) and registered not in _REGISTERED | {"", name}:
        subject.report(CUSTOM, f"names {named}, but takes what is registered as {registered[:100]!r}")


def _judge_function(subject: Subject, config: Any, title: str) -> None:
    if not isinstance(config, str) or config not in _known("functions"):
        subject.report(CUSTOM, f"{title} names the function {str(config)[:100]!r}")


def _judge_config(subject: Subject, name: str, config: Mapping[str, Any], title: str) -> None:
    """Judge what certain layers are told to do."""
    vocabulary = config.get("vocabulary")
    if name in _LOOKUPS and isinstance(vocabulary, str) and vocabulary:
        subject.report(VOCABULARY, f"{title} reads its vocabulary from {vocabulary[:200]!r}")
    function = config.get("function")
    if name in ("TFOpLambda", "ClassMethod", "InstanceMethod") and isinstance(function, str):
        last = function.rpartition(".")[2]
        if not _TENSOR_API.fullmatch(function) or last in _NOT_TENSORS:
            subject.report(MODULE, f"{title} calls tensorflow.{function[:200]}")
    if name == "TensorFlowOpLayer":
        _judge_node(subject, config.get("node_def"), title)


def _judge_node(subject: Subject, node_def: Any, title: str) -> None:
    text = node_def if isinstance(node_def, str) else json.dumps(node_def)
    for op in set(_NODE_OPERATOR.findall(text)):
        judged = tensorflow_operators.judge(NodeDef(op=op))
        if judged or op in _WITH_FILES or (op == "PrintV2" and _PRINTED_TO_FILE.search(text)):
            subject.report(judged[0] if judged else tensorflow_operators.FILE, f"{op}, in {title}")
