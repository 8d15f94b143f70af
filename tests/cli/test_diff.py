"""`panmodel diff`: what differs, in a table or as JSON, and an exit code that says whether."""

import json

import numpy as np
import pytest
from tests.cli.calling import CHECKPOINT, call


@pytest.fixture
def pair(tmp_path):
    same, moved = np.ones((2, 2)), np.arange(4)
    np.savez(tmp_path / "a.npz", same=same, moved=moved, gone=np.zeros(2), off=np.array([1.0, np.nan]), zero=[0.0])
    np.savez(tmp_path / "b.npz", same=same, other=moved, new=np.zeros(3), off=np.array([1.5, 2.0]), zero=[-0.0])
    return tmp_path / "a.npz", tmp_path / "b.npz"


def test_a_table_for_people(capsys, pair):
    code, out, _ = call(capsys, "diff", *pair)
    assert code == 1
    assert out.splitlines()[2:] == [
        "changed (2)",
        "  off   float64[2]  2 differ, 1 NaN in one  max |Δ| 0.5  relative 0.333  cosine 1.000000",
        "  zero  float64[1]  1 in bits alone",
        "renamed (1)",
        "  moved  → other  int64[4]",
        "only in A (1)",
        "  gone  float64[2]",
        "only in B (1)",
        "  new  float64[3]",
        "equal (1)",
        "DIFFERENT",
    ]


def test_json_for_programs(capsys, pair):
    code, out, _ = call(capsys, "diff", *pair, "--json")
    plain = json.loads(out)
    assert code == 1
    assert (plain["same"], plain["equal"], plain["added"][0]["name"]) == (False, ["same"], "new")


def test_a_checkpoint_and_what_it_was_converted_to_are_the_same(capsys, tmp_path):
    for name in ("a.safetensors", "b.npz"):
        call(capsys, "convert", CHECKPOINT, tmp_path / name, "--weights-only")
        code, out, _ = call(capsys, "diff", CHECKPOINT, tmp_path / name, "--all")
        assert code == 0, out
        assert out.splitlines()[-1] == "same"
        assert "  Dense/bias" in out or "bias" in out


def test_tolerances_and_patterns(capsys, pair):
    assert call(capsys, "diff", *pair, "--include", "zero", "--atol", "1e-9")[0] == 0
    code, out, _ = call(capsys, "diff", *pair, "--include", "zero")
    assert code == 1 and "in bits alone" in out
    assert call(capsys, "diff", *pair, "--exclude", "[ognmz]*")[0] == 0
    assert call(capsys, "diff", *pair, "--exclude", "nothing")[0] == 2


def test_errors_keep_their_codes(capsys, pair, tmp_path):
    assert call(capsys, "diff", pair[0], tmp_path / "none")[0] == 3
    np.savez(tmp_path / "c.npz", harmful=np.array([{}], object))
    assert call(capsys, "diff", pair[0], tmp_path / "c.npz")[0] == 5


def test_long_lists_are_cut(capsys, tmp_path):
    np.savez(tmp_path / "a.npz", **{f"a{i}": np.full(i + 1, 1.0) for i in range(60)})
    np.savez(tmp_path / "b.npz", w=np.array(1))
    code, out, _ = call(capsys, "diff", tmp_path / "a.npz", tmp_path / "b.npz")
    assert code == 1 and "… and 10 more (--all lists all)" in out and "a59" not in out
    assert "a59" in call(capsys, "diff", tmp_path / "a.npz", tmp_path / "b.npz", "--all")[1]
