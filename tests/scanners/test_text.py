import time

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

HOSTILE = {
    b"model:\n  _target_: os.system\n  command: 'true'\n": "PM-CONFIG-TARGET",
    b'{"optim": {"_target_": "subprocess.Popen", "args": ["true"]}}': "PM-CONFIG-TARGET",
    b'{"optim": {"\\u005ftarget_": "builtins.eval"}}': "PM-CONFIG-TARGET",
    b"{{ lipsum.__globals__['os'].popen('true') }}\n": "PM-TEMPLATE",
    b'{"chat_template": "{%- set a = \'\'.__class__.__\\u006dro__ %}"}': "PM-TEMPLATE",
    b"a: !!python/object/apply:os.system ['true']\n": "PM-YAML-TAG",
    b"a: !!python/name:os.system\n": "PM-YAML-TAG",
    b"a: !<tag:yaml.org,2002:python/object/new:os.system> []\n": "PM-YAML-TAG",
    b"%TAG !x! tag:yaml.org,2002:python/\n---\na: !x!name:os.system\n": "PM-YAML-TAG",
    b"class_name: Sequential\nconfig:\n- class_name: Lambda\n  config: {}\n": "PM-KERAS-LAMBDA",
    b"config: [{class_name: TFSMLayer}]\n": "PM-KERAS-LOADER",
    b'model_checkpoint_path: "../../other/model.ckpt"\n': "PM-CHECKPOINT-ESCAPE",
    b'model_checkpoint_path: "http://x/model.ckpt"\n': "PM-CHECKPOINT-ESCAPE",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_leads_to_code_or_out_is_dangerous(tmp_path, text):
    found = scan_bytes(tmp_path, text)
    assert found.verdict is DANGEROUS
    assert HOSTILE[text] in rules_of(found)


SETTINGS = b"{_target_: torch.optim.Adam, a: {_target_: datetime.timedelta}, b: {_target_: functools.partial}}\n"
TEMPLATE = b"{% for m in messages %}{{ m['content'] }}{% endfor %} and __globals__ outside\n"


@pytest.mark.parametrize(
    "text", [b"", b"A read-me.\n", "é".encode(), b"shape: !!python/tuple [1, 2]\n", SETTINGS, TEMPLATE]
)
def test_text_is_clean(tmp_path, text):
    found = scan_bytes(tmp_path, text)
    assert (found.verdict, rules_of(found)) == (CLEAN, set())


def test_notes_are_clean(tmp_path):
    assert rules_of(scan_bytes(tmp_path, b"import os\nos.system('true')\n")) == {"PM-SOURCE-CODE"}
    found = scan_bytes(tmp_path, b'model_checkpoint_path: "/home/u/model.ckpt"\n')
    assert (found.verdict, rules_of(found)) == (CLEAN, {"PM-CHECKPOINT-PATH"})


@pytest.mark.parametrize("data", [b"text\0text", b"text\xff", b"\xc3"])
def test_what_is_no_text_is_undecided(tmp_path, data):
    assert scan_bytes(tmp_path, data).verdict is UNDECIDED


@pytest.mark.parametrize(
    "text",
    [
        "a: !!pyth%6fn/object/apply:os.system ['true']\n",
        "%TAG !e! tag:yaml.org,200\n---\na: !e!2:python/object/apply:os.system ['true']\n",
        "a: 1\r%TAG !e! tag:yaml.org,2002:p\r---\ra: !e!ython/object/apply:os.system ['true']\r",
        'model_checkpoint_path: "\\056\\056/x"\n',
        "model_checkpoint_path: '../x'\n",
        'all_model_checkpoint_paths: "a" model_checkpoint_path: "../x"\n',
        'model_checkpoint_path: # the last\n "." "./x"\n',
    ],
)
def test_other_spellings_of_the_same_are_dangerous(tmp_path, text):
    assert scan_bytes(tmp_path, text.encode()).verdict is DANGEROUS


def test_a_graph_that_is_not_read_is_undecided(tmp_path):
    assert scan_bytes(tmp_path, b"unheard_of: 1 node { name: 'a' op: 'WriteFile' }").verdict is UNDECIDED


@pytest.mark.parametrize(
    "text", ["\n" * 500_000, "%TAG " * 200_000, "model_checkpoint_path \n" * 100_000, "node " * 500_000]
)
def test_texts_take_no_more_time_than_they_are_long(tmp_path, text):
    begin = time.process_time()
    scan_bytes(tmp_path, text.encode())
    assert time.process_time() - begin < 20
