"""List the names that TensorFlow and Keras have themselves, for `src/panmodel/scanners/known/`.

Run it with each version whose names count, TensorFlow 1.15 with Keras 2.3 and the newest of both; names are added to
those that are there:

    python scripts/list_known_names.py
"""

import inspect
import re
from pathlib import Path

import tensorflow as tf

KNOWN = Path(__file__).parents[1] / "src" / "panmodel" / "scanners" / "known"
MODULES = ("layers", "optimizers", "losses", "metrics", "initializers", "regularizers", "constraints", "models")
MODULES += ("optimizers.schedules", "dtype_policies", "quantizers")
FUNCTIONS = ("activations", "losses", "metrics", "initializers", "regularizers", "constraints")
#: Functions of those modules that make objects of descriptions, which no layer is to call.
LEFT_OUT = re.compile(r"_.*|get|.*serialize.*|clone_.*")


def add(name, found):
    path = KNOWN / name
    there = set(path.read_text().split()) if path.exists() else set()
    path.write_text("\n".join(sorted(there | set(found))) + "\n")


def module(keras, name):
    for part in name.split("."):
        keras = getattr(keras, part, None)
    return keras


def operators():
    from tensorflow.core.framework import op_def_pb2

    try:
        from tensorflow.python.client import pywrap_tf_session as library
    except ImportError:
        from tensorflow.python import pywrap_tensorflow as library
    listed = op_def_pb2.OpList()
    listed.ParseFromString(library.TF_GetBuffer(library.TF_GetAllOpList()))
    return {op.name for op in listed.op}


def main():
    import keras

    classes, functions = set(), set()
    for library in (keras, tf.keras):
        for name in MODULES:
            classes |= {key for key, value in vars(module(library, name) or object).items() if inspect.isclass(value)}
        for name in FUNCTIONS:
            functions |= {key for key, value in vars(getattr(library, name)).items() if inspect.isfunction(value)}
    add("tensorflow_operators.txt", operators())
    add("keras_classes.txt", {name for name in classes if not name.startswith("__")})
    add("keras_functions.txt", {name for name in functions if not LEFT_OUT.fullmatch(name)})


if __name__ == "__main__":
    main()
