import io
import pickle

import pytest

from panmodel.io.source import MemorySource
from panmodel.model.scanner import Subject
from panmodel.scanners.pickle_watcher import run
from panmodel.wire.pickle import Global


def ran(data, opcodes=1000):
    subject = Subject(MemorySource(data, "a.pkl"), "a.pkl", [], lambda _: None)
    subject.budget.opcodes = opcodes
    return run(subject, data, 0), subject


@pytest.mark.parametrize("data", [b"I010\n.", b"(NlI0\nNs.", b"(lNb.", b"((" + b"N" * 300 + b"tNd.", b"S'a'\nNb."])
def test_what_python_runs_it_runs(data):
    pickle.loads(data)
    assert ran(data)[0].error is None


def test_arguments_may_lie_in_a_list():
    data = b"cbuiltins\nlist\n(]lR."
    assert pickle._Unpickler(io.BytesIO(data)).load() == []
    assert ran(data)[0].called == {Global("builtins", "list")}


@pytest.mark.parametrize("fill", [b"NNs", b"Na", b"}b", b"(N\x90", b"N}\x86b"])
def test_changes_of_what_is_imported_are_seen(fill):
    assert ran(b"ctorch\nTensor\n" + fill + b".")[0].changed == {Global("torch", "Tensor")}


def test_the_budget_is_that_of_the_file():
    stream, subject = ran(b"N0" * 5000 + b"N.", opcodes=100)
    assert stream.may_go_on() and subject.budget.opcodes <= 0
    assert run(subject, b"N.", 0).may_go_on()


def test_inner_pickles_are_kept_once():
    inner = pickle.dumps([1], protocol=4)
    data = b"C" + bytes([len(inner)]) + inner + b"q\x00" + b"h\x00" * 50 + b"."
    assert ran(data)[0].packed == [inner]


def test_what_stops_it_keeps_no_bytes():
    error = ran(b"(" * 10)[0].error
    assert error is not None and error.__traceback__ is None
