"""`panmodel formats`."""

import json

from tests.cli.calling import call

from panmodel.cli.formats import HEAD, table
from panmodel.formats import registry


def test_formats(capsys):
    code, out, _ = call(capsys, "formats")
    assert code == 0
    for name in ("tensorflow_checkpoint", "tensorflow_graph", "onnx", "safetensors", "torch_pickle", "torch_source"):
        assert name in out


def test_programs_are_told_what_the_records_say(capsys):
    told = {plain["name"]: plain for plain in json.loads(call(capsys, "formats", "--json")[1])}
    assert list(told) == list(registry())
    for name, record in registry().items():
        assert (told[name]["read"], told[name]["write"]) == (record.read is not None, record.write is not None)
        assert (told[name]["extensions"], told[name]["spec"]) == (list(record.extensions), record.spec)
        assert ("graph" in told[name]["holds"]) == ("GRAPH" in str(record.holds))


def test_the_table_in_markdown(capsys):
    code, out, _ = call(capsys, "formats", "--markdown")
    assert code == 0 and out.strip() == table()
    lines = table().splitlines()
    assert len(lines) == 2 + len(registry())
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
