import io
import pickle

import pytest

from panmodel.errors import CorruptError, TruncatedError
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


@pytest.mark.parametrize("number", [b"F1_0\n", b"F 1\n", b"I1_0\n"])
def test_numbers_are_those_of_any_unpickler(number):
    pickle._Unpickler(io.BytesIO(number + b".")).load()
    assert ran(number + b".")[0].error is None


def test_frames_may_reach_beyond_the_end():
    data = b"\x80\x04\x95" + b"\xff" + bytes(7) + b"cantigravity\nfly\n."
    stream = ran(data)[0]
    assert Global("antigravity", "fly") in stream.names and stream.error is not None


def test_a_buffer_in_the_file_may_become_read_only():
    data = b"B\x01\0\0\0a\x98."
    assert pickle.loads(data) == b"a" and ran(data)[0].error is None


@pytest.mark.parametrize("opcode", [b"U", b"\x8c", b"C"])
def test_what_lies_across_the_end_of_a_frame_is_seen_in_every_way(capsys, opcode):
    # In memory, a text of three letters and one of 78 that a call is in. From a stream, the first begins behind its
    # frame and takes in the begin of the second, whose length is an opcode then: N. Only Python 3.7 does so with C.
    framed = b"\x80\x04\x95\x03" + bytes(7) + opcode + b"\x03a"
    data = framed + b"bcUN" + b"cbuiltins\nprint\n(NtR.".ljust(ord("N"), b".") + b"."
    assert len(pickle.loads(data)) == 78 and capsys.readouterr().out == ""
    pickle.load(io.BytesIO(data))
    assert capsys.readouterr().out == ("" if opcode == b"C" else "None\n")
    stream = ran(data)[0]
    assert Global("builtins", "print") in stream.called and stream.error is not None


def test_lines_and_numbers_lie_across_the_end_of_a_frame_too():
    for opcode in (b"J\x01\x02", b"I12", b"\x8b\x01\0", b"cos", b"M\x01", b"U\x05a"):
        data = b"\x80\x04\x95" + bytes([len(opcode)]) + bytes(7) + opcode + b"\n\n\n\n\n\n\n\n"
        assert isinstance(ran(data)[0].error, (CorruptError, TruncatedError)), opcode


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
