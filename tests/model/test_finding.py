import pytest

from panmodel.model.finding import Finding, Level, Rule, Scan, ScannedFile, Verdict, verdict_of

RULES = {level: Rule(f"PM-{level.name}", level, "What.", "Do.") for level in Level}


@pytest.mark.parametrize(
    ("levels", "verdict", "code"),
    [
        ([], Verdict.CLEAN, 0),
        ([Level.NOTE], Verdict.CLEAN, 0),
        ([Level.NOTE, Level.UNDECIDED], Verdict.UNDECIDED, 2),
        ([Level.UNDECIDED, Level.DANGEROUS, Level.NOTE], Verdict.DANGEROUS, 1),
    ],
)
def test_the_worst_decides(levels, verdict, code):
    assert verdict_of(levels) is verdict
    files = [ScannedFile("x", ("text",), [Finding(RULES[level], "m")]) for level in levels] or [ScannedFile("x")]
    assert (Scan(files).verdict, Scan(files).exit_code) == (verdict, code)


def test_nothing_scanned_is_not_clean():
    assert Scan([]).verdict is Verdict.UNDECIDED


def test_everything_is_in_the_json():
    finding = Finding(RULES[Level.DANGEROUS], "calls x", "a » b", 7)
    plain = Scan([ScannedFile("f", ("pickle",), [finding])]).to_json()
    (file,) = plain["files"]
    assert (plain["verdict"], file["verdict"], file["kinds"]) == ("dangerous", "dangerous", ["pickle"])
    assert file["findings"] == [
        {
            "rule": "PM-DANGEROUS",
            "level": "dangerous",
            "message": "calls x",
            "member": "a » b",
            "offset": 7,
            "help": "Do.",
        }
    ]
