import base64
import json
import marshal

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

CODE = base64.b64encode(marshal.dumps(compile("1", "", "eval"))).decode()


def model(*layers):
    return {"class_name": "Sequential", "config": {"name": "m", "layers": list(layers)}}


def layer(name, /, module="keras.layers", **config):
    return {"module": module, "class_name": name, "config": {"name": "x", **config}, "registered_name": None}


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


DENSE = layer("Dense", units=2, activation="relu", kernel_initializer=layer("GlorotUniform", "keras.initializers"))
HOSTILE = {
    "Lambda": (layer("Lambda", function="x"), "PM-KERAS-LAMBDA"),
    "Lambda of Keras 2": ({"class_name": "Lambda", "config": {"function": [CODE, None, None]}}, "PM-KERAS-LAMBDA"),
    "marshalled function": (layer("Dense", activation={"value": [CODE, None]}), "PM-KERAS-LAMBDA"),
    "__lambda__": (
        layer("Dense", activation={"class_name": "__lambda__", "config": {"code": CODE}}),
        "PM-KERAS-LAMBDA",
    ),
    "merge by a function": ({"class_name": "Merge", "config": {"mode_type": "lambda"}}, "PM-KERAS-LAMBDA"),
    "function of the system": (layer("Dense", activation=function("os", "system")), "PM-KERAS-MODULE"),
    "built-in function": (layer("Dense", activation=function("builtins", "exec")), "PM-KERAS-MODULE"),
    "function of Keras' tools": (layer("Dense", activation=function("keras.utils", "get_file")), "PM-KERAS-MODULE"),
    "unsafe switch": (layer("D", x=function("keras.config", "enable_unsafe_deserialization")), "PM-KERAS-MODULE"),
    "class of the standard library": (layer("Popen", "subprocess", args="true"), "PM-KERAS-MODULE"),
    "SavedModel inside": (layer("TFSMLayer", filepath="https://x/y"), "PM-KERAS-LOADER"),
    "torch module inside": (layer("TorchModuleWrapper", module="x"), "PM-KERAS-LOADER"),
    "vocabulary from a file": (layer("StringLookup", vocabulary="/etc/passwd"), "PM-KERAS-FILE"),
    "vocabulary from the network": (layer("TextVectorization", vocabulary="http://x/y"), "PM-KERAS-FILE"),
    "function of TensorFlow": (layer("TFOpLambda", function="io.write_file"), "PM-KERAS-MODULE"),
    "library of operators": (layer("TFOpLambda", function="load_op_library"), "PM-KERAS-MODULE"),
    "sampler with a file": (
        layer("TFOpLambda", function="random.fixed_unigram_candidate_sampler"),
        "PM-KERAS-MODULE",
    ),
    "constant in a file": (layer("TensorFlowOpLayer", node_def={"name": "r", "op": "ImmutableConst"}), "PM-TF-FILE"),
    "printed to a file": (
        layer("TensorFlowOpLayer", node_def={"op": "PrintV2", "attr": {"output_stream": {"s": "ZmlsZTovL2E="}}}),
        "PM-TF-FILE",
    ),
    "operator with files": (layer("TensorFlowOpLayer", node_def='{"name": "r", "op": "ReadFile"}'), "PM-TF-FILE"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_code_and_foreign_names_are_dangerous(tmp_path, kind):
    found_layer, rule = HOSTILE[kind]
    for text in (json.dumps(model(DENSE, found_layer)), json.dumps(json.dumps(model(found_layer)))):
        found = scan_bytes(tmp_path, text.encode(), "model.json")
        assert found.verdict is DANGEROUS
        assert rule in rules_of(found)


def test_layers_of_keras_are_clean(tmp_path):
    operation = layer("GetItem", "keras.src.ops.numpy")
    tensors = layer("TFOpLambda", function="math.add")
    plain = {"class_name": "Dense", "config": {"units": 1}}
    found = scan_bytes(tmp_path, json.dumps(model(DENSE, operation, tensors, plain)).encode())
    assert (found.verdict, rules_of(found)) == (CLEAN, set())


@pytest.mark.parametrize("name", ["Adam", "SGD", "Lion", "CustomScaleLayer"])
def test_classes_that_keras_registers_like_those_of_users_are_clean(tmp_path, name):
    plain = {"class_name": f"Custom>{name}", "config": {"name": name, "learning_rate": 0.1}}
    assert scan_bytes(tmp_path, json.dumps({"optimizer_config": plain}).encode()).verdict is CLEAN
    plain["class_name"] = "Custom>Mine"
    assert scan_bytes(tmp_path, json.dumps({"optimizer_config": plain}).encode()).verdict is UNDECIDED


@pytest.mark.parametrize("custom", [layer("Mine", "mine.layers"), layer("Mine", None), function("builtins", "my_relu")])
def test_what_the_caller_hands_in_is_undecided(tmp_path, custom):
    found = scan_bytes(tmp_path, json.dumps(model(custom)).encode())
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-KERAS-CUSTOM"})


@pytest.mark.parametrize("module", ["keras.layers", None])
def test_what_is_registered_goes_before_what_keras_has(tmp_path, module):
    custom = {**layer("Dense", module), "registered_name": "mine>Evil"}
    found = scan_bytes(tmp_path, json.dumps(model(custom)).encode())
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-KERAS-CUSTOM"})
    own = {**layer("Dense", module), "registered_name": "Dense"}
    assert scan_bytes(tmp_path, json.dumps(model(own)).encode()).verdict is CLEAN


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_json_may_be_encoded_in_other_ways(tmp_path, encoding):
    text = json.dumps(model(HOSTILE["Lambda"][0]))
    assert json.loads(text.encode(encoding))
    assert scan_bytes(tmp_path, text.encode(encoding)).verdict is DANGEROUS
    assert scan_bytes(tmp_path, json.dumps(model(DENSE)).encode(encoding)).verdict is CLEAN


def test_a_key_that_is_there_twice_hides_nothing(tmp_path):
    text = b'{"class_name": "Lambda", "class_name": "Dense", "config": {}}'
    found = scan_bytes(tmp_path, text)
    assert found.verdict is DANGEROUS
    assert rules_of(found) == {"PM-KERAS-LAMBDA", "PM-JSON-DUPLICATE"}


def test_broken_descriptions_are_never_clean(tmp_path):
    text = json.dumps(model(HOSTILE["Lambda"][0])).encode()
    for cut in range(20, len(text) - 1, 7):
        assert scan_bytes(tmp_path, text[:cut]).verdict is not CLEAN
    assert scan_bytes(tmp_path, text[:-2]).verdict is DANGEROUS
