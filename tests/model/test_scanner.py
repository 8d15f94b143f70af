import pytest

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import MemorySource
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Budget, Subject, climbs_out

RULE = Rule("PM-X", Level.NOTE, "What.", "Do.")


def subject(look=lambda _: None):
    return Subject(MemorySource(b"abc"), "x", [], look)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "\\x", "..\\x", "C:/x", "~/x", "s3://x", "a\0b"])
def test_names_that_climb_out(name):
    assert climbs_out(name)


@pytest.mark.parametrize("name", ["x", "a/b.bin", "a..b", "...", "a:b"])
def test_names_that_stay(name):
    assert not climbs_out(name) or name == "a:b"


def test_a_flood_of_findings_is_cut_off():
    one = subject()
    for number in range(1000):
        one.report(RULE, str(number))
    assert len(one.findings) == 51
    assert one.findings[-1].message == "… and more of this kind"


def test_members_are_named_by_all_around_them():
    def look(part):
        part.report(RULE, "here")
        if part.depth < 2:
            part.inside(MemorySource(b""), f"folder/{part.depth}")

    one = subject(look)
    look(one)
    assert [finding.member for finding in one.findings] == ["", "folder/0", "folder/0 » folder/1"]


def test_depth_members_and_bytes_have_an_end():
    one = subject(lambda part: part.inside(MemorySource(b""), "x"))
    one.inside(MemorySource(b""), "x")
    assert [finding.rule.id for finding in one.findings] == ["PM-UNFINISHED"]
    with pytest.raises(LimitError):
        one.spend(1 << 40)


def test_errors_become_findings():
    one = subject()
    one.report_error(CorruptError("broken"))
    one.report_error(LimitError("too many"))
    assert [finding.rule.id for finding in one.findings] == ["PM-UNREADABLE", "PM-UNFINISHED"]


def test_what_is_made_of_the_bytes_is_made_once():
    asked = []

    def made(part):
        asked.append(part)
        return [part.head()]

    one = subject()
    assert one.once(made) is one.once(made)
    assert asked == [one]


def test_the_same_few_bytes_are_looked_at_once():
    seen = []
    one = subject(lambda part: seen.append(part.member))
    for name in ("a", "b"):
        one.inside(MemorySource(b"1\n"), name)
        one.inside(MemorySource(b"2\n"), name)
        one.inside(MemorySource(b"1\n"), name, torchscript=True)
    assert seen == ["a", "a", "a"]
    one.inside(MemorySource(bytes(1 << 20)), "a")
    one.inside(MemorySource(bytes(1 << 20)), "b")
    assert len(seen) == 5


def test_what_is_found_in_the_same_bytes_is_found_wherever_they_are():
    one = subject(lambda part: part.report(RULE, "here"))
    for name in ("a", "b"):
        one.inside(MemorySource(b"1"), name)
    assert [finding.member for finding in one.findings] == ["a", "b"]


def test_parts_that_were_looked_at_count_once():
    one = subject()
    one.budget.members = 2
    for number in range(1000):
        one.inside(MemorySource(bytes([number % 2])), str(number))
    assert not one.findings


def test_a_large_file_may_unpack_to_more():
    for size, most in ((10, 1 << 30), (1 << 30, 4 << 30)):
        one = subject()
        one.budget = Budget.of(size)
        one.spend(most)
        with pytest.raises(LimitError, match="4 times"):
            one.spend(1)
