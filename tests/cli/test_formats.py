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
    assert json.loads(call(capsys, "formats", "--json")[1])


def test_rows_say_what_the_records_say(capsys):
    rows = {row["format"]: row for row in json.loads(call(capsys, "formats", "--json")[1])}
    assert set(rows) == set(registry())
    for name, record in registry().items():
        assert rows[name]["read"] == ("yes" if record.read else "")
        assert rows[name]["write"] == ("yes" if record.write else "")
        assert rows[name]["files"].split() == list(record.extensions)
        assert ("graph" in rows[name]["holds"].split(", ")) == ("GRAPH" in str(record.holds))


def test_the_table_in_markdown(capsys):
    code, out, _ = call(capsys, "formats", "--markdown")
    assert code == 0 and out.strip() == table()
    lines = table().splitlines()
    assert len(lines) == 2 + len(registry())
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
