"""The progress bar: on terminals only, and only for long work."""

import io

import pytest

from panmodel.cli import _progress
from panmodel.cli._progress import progress_bar


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def test_it_shows_how_far_work_has_come_and_leaves_nothing(clock):
    screen = Terminal()
    with progress_bar("converting", stream=screen) as progress:
        progress(1_000_000, 10_000_000)
        assert screen.getvalue() == ""  # it may be done before anybody looks
        clock[0] = 2.0
        progress(5_000_000, 10_000_000)
        shown = screen.getvalue()
        assert all(said in shown for said in ("converting", "50%", "5.0 MB of 10.0 MB", "2.5 MB/s", "2 s left"))
        progress(6_000_000, 10_000_000)
        assert screen.getvalue() == shown  # too soon for another look
    assert screen.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("columns", [200, 80, 60, 20])
def test_it_stays_in_one_line(clock, monkeypatch, columns):
    screen = Terminal()
    monkeypatch.setattr(_progress, "_columns", lambda _: columns)
    with progress_bar("converting", stream=screen) as progress:
        clock[0] = 1000.0
        progress(123_400_000_000, 999_900_000_000)
    shown = screen.getvalue().split("\r\x1b[K")[1]
    assert shown.startswith("converting") and len(shown) < columns
    assert ("█" in shown) == (columns >= 80) and ("s left" in shown) == (columns > 60)


def test_short_work_shows_nothing(clock):
    screen = Terminal()
    with progress_bar("converting", stream=screen) as progress:
        progress(0, 0)
    assert screen.getvalue() == ""


def test_no_terminal_no_bar():
    with progress_bar("converting", stream=io.StringIO()) as progress:
        assert progress is None


def test_a_terminal_that_takes_nothing_back_shows_no_bar(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with progress_bar("converting", stream=Terminal()) as progress:
        assert progress is None


def test_terminals_without_blocks_have_a_bar_too(clock):
    screen = Terminal()
    screen.encoding = "ascii"
    with progress_bar("converting", stream=screen) as progress:
        clock[0] = 2.0
        progress(5, 10)
    assert "converting ###" in screen.getvalue() and "...  50%" in screen.getvalue()
