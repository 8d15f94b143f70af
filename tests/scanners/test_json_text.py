import base64
import json

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes


@pytest.mark.parametrize("shard", ["../x.safetensors", "/etc/passwd", "http://x/y", "C:\\x", "a/../../b", "~/x"])
def test_shards_outside_are_dangerous(tmp_path, shard):
    text = json.dumps({"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": shard}})
    found = scan_bytes(tmp_path, text.encode(), "model.safetensors.index.json")
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-SHARD-ESCAPE"})


def test_settings_are_clean(tmp_path):
    assert scan_bytes(tmp_path, b'{"hidden_size": 2, "layers": [1, 2]}').verdict is CLEAN
    found = scan_bytes(tmp_path, b'{"auto_map": {"AutoModel": "modeling_x.Model"}}')
    assert (found.verdict, rules_of(found)) == (CLEAN, {"PM-REMOTE-CODE"})


@pytest.mark.parametrize("text", [b'{"a": ', b"[" * 100_000, b'{"a": 1} x'])
def test_broken_texts_are_undecided(tmp_path, text):
    assert scan_bytes(tmp_path, text).verdict is UNDECIDED


LAMBDA = json.dumps({"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAAA", None, None]}})


@pytest.mark.parametrize(
    "text",
    [
        " " * 70_000 + LAMBDA,
        json.dumps(LAMBDA),
        ' \n"  ' + json.dumps(LAMBDA)[1:],
        json.dumps(json.dumps(" " + LAMBDA)),
        "\ufeff\n" + LAMBDA,
    ],
)
def test_descriptions_begin_behind_white_space_and_quotes(tmp_path, text):
    assert "PM-KERAS-LAMBDA" in rules_of(scan_bytes(tmp_path, text.encode()))


@pytest.mark.parametrize(
    ("pickled", "verdict"),
    [
        (b"\x80\x04N.", CLEAN),
        (b"\x80\x04\x8c\x07my.nets\x8c\x03Net\x93.", UNDECIDED),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", DANGEROUS),
        (b"cos\nsystem\n(S'true'\ntR.", DANGEROUS),
        (b"\x80\x04\x8c", UNDECIDED),
    ],
)
def test_pickles_of_stable_baselines_are_looked_into(tmp_path, pickled, verdict):
    text = base64.b64encode(pickled).decode()
    held = {"policy": {"layers": [{":type:": "a", ":serialized:": "-" + text}]}, "n": 1}
    assert scan_bytes(tmp_path, json.dumps(held).encode()).verdict is verdict
    assert scan_bytes(tmp_path, json.dumps({":serialized:": text}).encode()).verdict is verdict


def test_what_is_no_base64_text_is_undecided(tmp_path):
    assert scan_bytes(tmp_path, b'{"a": {":serialized:": "gAWV1"}}').verdict is UNDECIDED


def test_tables_with_quotes_are_text(tmp_path):
    found = scan_bytes(tmp_path, b'"name","size"\n"a","b"\n')
    assert (found.verdict, found.files[0].kinds) == (CLEAN, ("text",))


def test_a_great_many_lists_are_undecided(tmp_path):
    assert scan_bytes(tmp_path, b"[" + b"[]," * 3_000_000 + b"1]").verdict is UNDECIDED
