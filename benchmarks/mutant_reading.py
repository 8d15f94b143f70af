"""What a child process does with mutants: reads them under limits, and judges what came of it."""

from __future__ import annotations

import gc
import json
import mmap
import os
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import panmodel as pm
from panmodel import errors
from panmodel.errors import PanmodelError
from panmodel.formats import registry
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    from mutants import Run, Seed, Victim

MIB = 1 << 20
SECONDS, WALL_SECONDS = 5, 60  # of the processor; and by the clock, which counts what others do to the machine too
BOUND = 64 * MIB
BRIEF = 0.004  # seconds in which no such amount can be filled; asking the system for the peak takes long on some
LARGE = 64 * MIB  # bytes of a tensor that is looked at only in part
ROOM = BOUND + 2 * LARGE + 64 * MIB  # address space beyond what the interpreter has
INSPECTED = 8  # one of so many mutants is opened as a user does, without a format being named

CLASSES = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, PanmodelError)]
WRONG = ("foreign", "undetected", "memory", "hang", "crash")
COLUMNS = ("equal", "different", "large", *CLASSES, *WRONG)


class Verdicts:
    """Counts that children write and the parent reads: a row for each child, in memory that they share."""

    def __init__(self, workers: int) -> None:
        self._row = len(COLUMNS) + 3  # the number of the mutant, microseconds and MiB at most
        self._memory = mmap.mmap(-1, 8 * self._row * workers)
        self._cells = memoryview(self._memory).cast("q")
        self._workers = workers
        self._before = dict.fromkeys((*COLUMNS, "slowest", "largest"), 0)

    def begin(self, slot: int, number: int) -> None:
        self._cells[slot * self._row] = number

    def add(self, slot: int, column: str, seconds: float = 0.0, nbytes: int = 0) -> None:
        row = slot * self._row
        self._cells[row + 3 + COLUMNS.index(column)] += 1
        self._cells[row + 1] = max(self._cells[row + 1], int(seconds * 1e6))
        self._cells[row + 2] = max(self._cells[row + 2], nbytes // MIB)

    def died(self, slot: int, status: int) -> int:
        """Count the death of a child; which mutant it was of."""
        hang = status & 0x7F in (signal.SIGPROF, signal.SIGALRM)
        self.add(slot, "hang" if hang else "crash")
        return self._cells[slot * self._row]

    def restore(self, counts: Mapping[str, int]) -> None:
        self._before.update(counts)

    def total(self) -> dict[str, int]:
        rows = [self._cells[slot * self._row : (slot + 1) * self._row].tolist() for slot in range(self._workers)]
        counts = {
            name: self._before[name] + sum(row[3 + number] for row in rows) for number, name in enumerate(COLUMNS)
        }
        counts["slowest"] = max(self._before["slowest"], *(row[1] for row in rows))
        counts["largest"] = max(self._before["largest"], *(row[2] for row in rows))
        return counts

    def wrong(self) -> int:
        return sum(self.total()[name] for name in WRONG)

    def line(self, name: str, seconds: float) -> str:
        counts = self.total()
        number = sum(counts[column] for column in COLUMNS)
        shown = ", ".join(f"{counts[column]} {column}" for column in COLUMNS if counts[column] and column not in WRONG)
        wrong = ", ".join(f"{counts[column]} {column.upper()}" for column in WRONG if counts[column])
        most = f"slowest {counts['slowest'] / 1e6:.2f} s, +{counts['largest']} MiB, {number / seconds:.0f}/s"
        return f"{name}: {number} mutants, {wrong or 'none wrong'}\n    {shown}\n    {most}"


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked process, whose number comes back; its exit code is 120 if it raises."""
    process = os.fork()
    if process == 0:
        code = 120
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return process


def run_batch(run: Run, slot: int, begin: int, end: int) -> None:
    """Read the mutants of these numbers, counting into a row of the table."""
    place = run.work / str(slot)
    shutil.rmtree(place, ignore_errors=True)
    record = registry()[run.name]
    right: dict[str, object] = {}
    for seed in run.seeds.values():
        lay_out(seed, place / seed.name)
        try:
            right[seed.name] = Reading(record).everything(place / seed.name / seed.target)
        except PanmodelError:  # what is refused for what it holds, objects of numpy say
            right[seed.name] = None
    gc.collect()
    gc.freeze()
    bound_address_space()
    before = _peak()
    for number in range(begin, end):
        run.verdicts.begin(slot, number)
        victim, contents = run.mutant(number)
        folder = place / victim.seed
        for name, data in zip(victim.names, contents, strict=True):
            (folder / name).write_bytes(data)
        _judge(run, slot, victim, contents, number, folder, right[victim.seed], before)
        for name in victim.names:
            (folder / name).write_bytes(run.seeds[victim.seed].files[name])


def lay_out(seed: Seed, folder: Path) -> None:
    for name, data in seed.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def bound_address_space() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, now + ROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _judge(
    run: Run,
    slot: int,
    victim: Victim,
    contents: tuple[bytes, ...],
    number: int,
    folder: Path,
    right: object,
    before: int,
) -> None:
    seed = run.seeds[victim.seed]
    reading, began = Reading(registry()[run.name]), process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    label = text = ""
    try:
        found = reading.everything(folder / seed.target)
        if number % INSPECTED == 0:
            json.dumps(pm.inspect(folder / seed.target).to_json(), default=str)
        verdict = "equal" if found == right else "undetected" if victim.must_find and right is not None else "different"
        label, text = f"undetected-{victim.seed}", f"right: {right}\nfound: {found}\n"[:5000]
    except PanmodelError as error:
        verdict = type(error).__name__
        str(error)
    except MemoryError as error:
        verdict = "large" if reading.largest > LARGE else "memory"
        label, text = _label("memory", error), traceback.format_exc()
    except Exception as error:  # whatever it is, it should not have come out
        verdict, label, text = "foreign", _label(type(error).__name__, error), traceback.format_exc()
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = process_time() - began
    grown = _peak() - before if seconds > BRIEF else 0
    if grown > BOUND + 2 * reading.largest + sum(map(len, seed.files.values())) and verdict not in WRONG:
        verdict, label, text = "memory", f"memory-{victim.seed}-{verdict}", f"{grown / MIB:.0f} MiB\n"
    if grown > BOUND // 4:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, where the system lets it
    run.verdicts.add(slot, verdict, seconds, grown)
    if verdict in WRONG:
        run.keep(victim, contents, number, label, text)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _label(kind: str, error: BaseException) -> str:
    """What is the same for the same mistake: the exception and the place in our sources that it came through."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}panmodel{os.sep}" in frame.filename
    ]
    if not frames:
        return f"{kind}-elsewhere"
    return f"{kind}-{Path(frames[-1].filename).stem}-{frames[-1].lineno}"


class Reading:
    """Reads all that there is of one file.

    Attributes:
        largest: Bytes of the largest tensor that the file says it has.
    """

    def __init__(self, record: Any) -> None:
        self.record = record
        self.largest = 0
        self.first: PanmodelError | None = None

    def everything(self, path: Path) -> dict[str, object]:
        """The content of every tensor. A tensor that is refused does not keep the others from being tried."""
        location = Location(path)
        self.record.sniff(location)
        model = self.record.read(location)
        self.largest = max((tensor.nbytes for tensor in model.tensors.values()), default=0)
        found = {name: self._content(tensor) for name, tensor in model.tensors.items()}
        tell(model)
        if self.first is not None:
            raise self.first
        return found

    def _content(self, tensor: Tensor) -> object:
        try:
            return content_of(tensor)
        except PanmodelError as error:
            self.first = self.first or error
            return None


def content_of(tensor: Tensor) -> tuple[str, tuple[int, ...], object]:
    """Type, shape and elements; of a very large tensor only the first."""
    if not tensor.dtype.bits:
        return tensor.dtype.name, tensor.shape, tensor.numpy().tolist()
    if tensor.nbytes <= LARGE:
        assert tensor.numpy().shape == tensor.shape
    pieces, seen = [], 0
    for piece in tensor.chunks():
        pieces.append(bytes(piece) if tensor.nbytes <= LARGE else len(piece))
        seen += len(piece)
        if seen > LARGE:
            break
    else:
        assert seen == tensor.nbytes
    return tensor.dtype.name, tensor.shape, b"".join(pieces) if tensor.nbytes <= LARGE else seen  # type: ignore[arg-type]


def tell(model: Model) -> None:
    """Everything that a model can be asked for beside its tensors."""
    str(dict(model.metadata))
    [str(notice) for notice in model.notices]
    if model.structure is not None:
        json.dumps(model.structure.to_json())
    if model.training is not None:
        assert model.training.names <= model.tensors.keys()
        str(model.training.hyperparameters)
    list(model.weights)
    nodes = getattr(model.program, "nodes", ())
    for node in nodes.values() if isinstance(nodes, Mapping) else nodes:
        dict(getattr(node, "attributes", {}))
