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
