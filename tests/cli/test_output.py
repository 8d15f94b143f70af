"""How answers are printed."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.cli._output import amount, print_json, print_table, printable


def test_what_json_lacks_becomes_text(capsys):
    print_json({"a": [float("inf"), -float("inf"), float("nan"), 1.5], 2: (np.float32(0.5), None), "é": True})
    out = capsys.readouterr().out
    found = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found == {"a": ["inf", "-inf", "nan", 1.5], "2": ["0.5", None], "é": True}
    assert out.isascii()


def test_columns_are_aligned_and_numbers_flush_right(capsys):
    print_table([("name", "7", "x"), ("longer name", "1,234.5", "")])
    assert capsys.readouterr().out == "  name               7  x\n  longer name  1,234.5\n"
    print_table([("a", "7"), ("b", "many")], indent="")
    assert capsys.readouterr().out == "a  7\nb  many\n"


def test_one_long_cell_does_not_widen_the_others(capsys):
    print_table([("n" * 500, "a"), ("short", "b")])
    long, short = capsys.readouterr().out.splitlines()
    assert long == "  " + "n" * 500 + "  a" and len(short) < 120


def test_no_rows_print_nothing(capsys):
    print_table([])
    assert capsys.readouterr().out == ""


def test_tables_send_no_control_characters(capsys):
    print_table([("\x1b[2J\n", "b")])
    assert capsys.readouterr().out == "  \\x1b[2J\\n  b\n"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**9, "1.0 GB"), (3 * 10**15, "3000.0 TB")],
)
def test_amounts(nbytes, text):
    assert amount(nbytes) == text


@given(st.text(st.characters(exclude_categories=[])))
def test_printable_text_is_printable_and_tells_all(text):
    shown = printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text
    if "\\" not in text:
        escaped = re.compile(r"\\(?:x..|u.{4}|U.{8}|[tnr])")
        assert escaped.sub(lambda found: found[0].encode().decode("unicode_escape"), shown) == text
