import json

import pytest

from panmodel.cli import run

PICKLE = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."


@pytest.fixture
def paths(tmp_path):
    contents = {"clean.txt": b"text", "bad.pt": PICKLE, "odd.bin": b"\x01\xff"}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return {name.partition(".")[0]: str(tmp_path / name) for name in contents} | {"all": str(tmp_path)}


@pytest.mark.parametrize(("which", "code"), [("clean", 0), ("bad", 1), ("odd", 2), ("all", 1)])
def test_exit_codes(paths, which, code, capsys):
    assert run(["scan", paths[which]]) == code
    capsys.readouterr()


def test_errors_are_never_clean_nor_dangerous(paths, capsys):
    assert run(["scan", paths["all"] + "/missing"]) == 2
    assert run(["scan"]) == 2
    assert run(["scan", "--wrong", paths["clean"]]) == 2
    capsys.readouterr()


def test_a_folder_without_files_is_said_to_be_one(tmp_path, capsys):
    assert run(["scan", str(tmp_path)]) == 2
    assert "no file to scan" in capsys.readouterr().out


def test_people_read_what_it_is_and_what_to_do(paths, capsys):
    run(["scan", paths["all"]])
    said = capsys.readouterr().out
    assert f"{paths['bad']}: dangerous (pickle)" in said
    assert "dangerous PM-PICKLE-GLOBAL: " in said
    assert "- calls posix.system at byte 16" in said
    assert "what to do: " in said
    assert "3 file(s): 1 clean, 1 dangerous, 1 undecided" in said


def test_quiet_leaves_out_what_is_clean(paths, capsys):
    run(["scan", "--quiet", paths["all"]])
    said = capsys.readouterr().out
    assert "clean.txt" not in said and "bad.pt" in said and "odd.bin" in said


def test_json(paths, capsys):
    assert run(["scan", "--json", paths["all"]]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert plain["verdict"] == "dangerous"
    assert [file["verdict"] for file in plain["files"]] == ["dangerous", "clean", "undecided"]


def test_sarif(paths, capsys):
    assert run(["scan", "--sarif", paths["all"]]) == 1
    log = json.loads(capsys.readouterr().out)
    assert {result["ruleId"] for result in log["runs"][0]["results"]} == {"PM-PICKLE-GLOBAL", "PM-UNKNOWN-CONTENT"}


def test_one_form_of_the_answer_at_a_time(paths, capsys):
    assert run(["scan", paths["all"], "--json", "--sarif"]) == 2
    capsys.readouterr()


def test_control_characters_stay_out_of_the_terminal(tmp_path, capsys):
    (tmp_path / "a").write_bytes(b"\x80\x02cos\n\x1b[31mred\n)R.")
    assert run(["scan", str(tmp_path / "a")]) == 1
    assert "\x1b" not in capsys.readouterr().out
