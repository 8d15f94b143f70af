"""Runs the pickles of one file of PyTorch by one allow-list, and keeps account of what they named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError, TruncatedError, UnsupportedError
from panmodel.io.source import Extent, MemorySource, PartSource, Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import Constructor, Global, Machine, Window, describe
from panmodel.wire.torch_names import UNTYPED_STORAGES, AllowList
from panmodel.wire.zip import Archive

_WINDOW = 1 << 14  # bytes of a file in which the end of a pickle is looked for at first
#: What stands before each array in a file of joblib, or of the joblib that scikit-learn had.
_JOBLIB = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_NESTED = Global("torch.storage", "_load_from_bytes")
#: Storages that have a class in pickles that C++ writes, and none in Python.
CPP_STORAGES = {
    Global("torch", f"{name[0].upper()}{name[1:]}Storage".replace("Uint", "UInt")): dtypes.BY_TORCH[name]
    for name in (*(name for name in dtypes.BY_TORCH if name.startswith("float8")), "uint16", "uint32", "uint64")
}
_MOST_PICKLES = 10_000  # that lie one behind the other
_DEEPEST = 4  # files of torch.save within the pickles of each other

Persistent = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file of torch.save holds, whatever its container.

    Attributes:
        kind: Of the container: "zip", "legacy", "tar" or "pickle".
        value: The pickled value; tensors are records of `wire.torch_records`.
        unknown: Names in the pickle that are not on the allow-list, with the position of their first mention.
        called: Those of them that unpickling would call as functions, not only make objects of.
        given: Those of `called` that it would give arguments, or whose results it would call.
        recalled: Those of `called` whose results it would call, or that it would hand to what calls them.
        referring: Those of `unknown` that it would call for a reference alone, and in no other way.
        big_endian: Storages are big-endian.
        version: Of the container; "" if it has none.
        sources: Class → (file, text) of its source code, where the container keeps that.
        serialization_id: The number by which torch tells files apart; "" if there is none.
        archive: The archive, of a zip file.
        root: The folder in it that everything lies in.
        pickles: How many lie one behind the other, of plain pickles; the value of several is a list.
        behind: Where bytes begin that follow all that the container is to hold; None if none do.
    """

    kind: str
    value: object
    unknown: Mapping[Global, int]
    called: frozenset[Global]
    given: frozenset[Global] = frozenset()
    recalled: frozenset[Global] = frozenset()
    referring: frozenset[Global] = frozenset()
    big_endian: bool = False
    version: str = ""
    sources: Mapping[Global, tuple[str, str]] = field(default_factory=dict)
    serialization_id: str = ""
    archive: Archive | None = None
    root: str = ""
    pickles: int = 1
    behind: int | None = None


@dataclass
class Unpickling:
    """The pickles of one file.

    Args:
        source: The file.
        also: Names beside those of the allow-list, and their constructors.
        limits: Caps on what the pickles ask for.
        nested: Loads a file within a pickle: torch.storage._load_from_bytes.
        depth: How deep this file lies in others.

    Attributes:
        unknown: Every name that is not on the list, with the position of its first mention.
        called: Those of them that unpickling would call.
        given: Those of `called` that it would give arguments, or whose results it would call.
        recalled: Those of `called` whose results it would call, or that it would hand to what calls them.
        referring: Those of `unknown` that it would call for a reference.
        executed: How many opcodes were run.
    """

    source: Source
    also: Mapping[Global, Constructor | None] = field(default_factory=dict)
    limits: Limits = DEFAULT
    nested: Callable[[Unpickling], Loaded] | None = None
    depth: int = 0
    unknown: dict[Global, int] = field(default_factory=dict)
    called: set[Global] = field(default_factory=set)
    given: set[Global] = field(default_factory=set)
    recalled: set[Global] = field(default_factory=set)
    referring: set[Global] = field(default_factory=set)
    executed: int = 0
    _files: dict[int, tuple[object, object]] = field(default_factory=dict)  # loaded from bytes, by their identity
    _allowed: tuple[int, AllowList] | None = None  # and the size of the pickle that it was made for

    def run(
        self, data: bytes | Window, where: str, persistent: Persistent | None = None, *, begin: int = 0
    ) -> tuple[object, int]:
        """Run one pickle.

        Args:
            data: What it lies in.
            where: The file, for messages.
            persistent: Makes a value of a persistent id.
            begin: Where in the data it begins.

        Returns:
            The value, and where in the data the pickle ends.
        """
        if self._allowed is None or self._allowed[0] < len(data):
            also = {**self.also, _NESTED: self._load_from_bytes}
            self._allowed = len(data), AllowList(where, len(data), self.limits, also)
        allowed = self._allowed[1]
        allowed.tensors.persistent = persistent
        machine = Machine(
            data,
            where=where,
            known=allowed.known,
            persistent=persistent,
            building=allowed.set_state,
            limits=self.limits,
        )
        machine.position = begin
        try:
            value = machine.run()
        except CorruptError:
            if any(name.name == _JOBLIB[1] and name.module.endswith(_JOBLIB[0]) for name in machine.globals):
                message = (
                    "a file of joblib, which puts the bytes of arrays between the opcodes of its pickle, is not read"
                )
                hint = "load it with joblib and save the arrays with numpy.savez, or the tensors with torch.save"
                raise UnsupportedError(message, where=where, hint=hint) from None
            raise
        self.executed += machine.executed
        for name, position in machine.globals.items():
            if name not in allowed.known:
                self.unknown.setdefault(name, position)
        passed = allowed.passed
        self.called |= (machine.called | passed) & self.unknown.keys()
        self.given |= (machine.given | passed) & self.unknown.keys()
        self.recalled |= (machine.recalled | passed) & self.unknown.keys()
        self.referring |= machine.referring & self.unknown.keys()
        return value, machine.position

    def run_whole(self, data: bytes | Window, where: str, persistent: Persistent | None = None) -> object:
        """Run a pickle that fills the data.

        Raises:
            CorruptError: Bytes follow it.
        """
        value, end = self.run(data, where, persistent)
        if end != len(data):
            raise CorruptError(f"{len(data) - end} bytes follow the pickle", where=where)
        return value

    def run_each(self, data: bytes | Window, where: str) -> list[object]:
        """Run pickles that fill the data one behind the other, as calls of `pickle.dump` for one file write them.

        Raises:
            CorruptError: Something else follows one of them.
            LimitError: There are too many, or they do too much together.
        """
        values: list[object] = []
        end = 0
        while not values or end < len(data):
            if len(values) >= _MOST_PICKLES or self.executed > self.limits.pickle_opcodes:
                raise LimitError(f"the pickles behind each other are too many or too large, up to {end}", where=where)
            begin = end
            try:
                value, end = self.run(data, where, begin=begin)
            except CorruptError as error:
                if not values:
                    raise
                message = f"{len(data) - begin} bytes follow the pickle that ends at {begin}, and are no further one"
                raise CorruptError(f"{message}: {error.message}", where=where) from None
            values.append(value)
        return values

    def run_at(self, offset: int, prepare: Callable[[], Persistent | None] = lambda: None) -> tuple[object, int]:
        """Run a pickle of unknown length in the file.

        Args:
            offset: Where it begins.
            prepare: Makes the meaning of persistent ids; called again if the pickle must be.

        Returns:
            The value, and the offset behind the pickle.
        """
        return self._growing(offset, lambda data: self.run(data, self.source.name, prepare()))

    def run_plain_at(self, offset: int) -> tuple[object, int]:
        """Run a pickle of plain values, numbers and lists of them; names in it mean nothing."""
        return self._growing(offset, self._run_plain)

    def _run_plain(self, data: bytes) -> tuple[object, int]:
        machine = Machine(data, where=self.source.name, limits=self.limits)
        return machine.run(), machine.position

    def _growing(self, offset: int, run: Callable[[bytes], tuple[object, int]]) -> tuple[object, int]:
        """Run a pickle of unknown length: over a part of the file, and over a larger one if it ends beyond."""
        there, window = self.source.size - offset, _WINDOW
        while True:
            data = self.source.read(offset, min(window, there))
            try:
                value, end = run(data)
                return value, offset + end
            except TruncatedError:
                if len(data) == there:
                    raise
                if window >= self.limits.pickle_bytes:
                    message = f"the pickle at {offset} has over {self.limits.pickle_bytes} bytes"
                    raise LimitError(message, where=self.source.name) from None
                window = min(8 * window, self.limits.pickle_bytes)

    def _load_from_bytes(self, args: tuple[object, ...]) -> object:
        """torch.storage._load_from_bytes(data): a file of its own, by which storages are pickled elsewhere."""
        if len(args) != 1 or not isinstance(args[0], (bytes, Extent)):
            raise CorruptError("a storage is loaded from something else than bytes", where=self.source.name)
        if id(args[0]) in self._files:
            return self._files[id(args[0])][1]
        if self.depth >= _DEEPEST or self.nested is None:
            raise LimitError(f"files within pickles over {_DEEPEST} deep", where=self.source.name)
        title = f"{self.source.name}, a storage in the pickle"
        inner = PartSource(args[0], title) if isinstance(args[0], Extent) else MemorySource(args[0], title)
        loaded = self.nested(Unpickling(inner, self.also, self.limits, self.nested, self.depth + 1))
        for name, position in loaded.unknown.items():
            self.unknown.setdefault(name, position)
        self.called |= loaded.called
        self.given |= loaded.given
        self.recalled |= loaded.recalled
        self.referring |= loaded.referring
        self._files[id(args[0])] = args[0], loaded.value
        return loaded.value

    def finished(self, kind: str, value: object, **more: object) -> Loaded:
        """What the file holds."""
        told = {name: frozenset(getattr(self, name)) for name in ("called", "given", "recalled")}
        referring = frozenset(self.referring - self.called)
        return Loaded(kind, value, self.unknown, referring=referring, **told, **more)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class StorageIdentity:
    """The persistent id of a storage, its parts held against what they should be.

    Attributes:
        dtype: Element type; None for an untyped one.
        key: What the file calls it.
        location: Its device.
        count: Its elements (bytes, of an untyped one).
        view: (key, first element, elements) of the view of it that is meant, if one is.
    """

    dtype: DType | None
    key: str
    location: str
    count: int
    view: tuple[str, int, int] | None = None

    @property
    def nbytes(self) -> int:
        """Size of the storage in bytes."""
        return self.count * (self.dtype.itemsize if self.dtype else 1)


def storage_type(kind: object, where: str) -> DType | None:
    """The element type of a storage class; None for untyped ones."""
    if not isinstance(kind, Global):
        raise CorruptError(f"{describe(kind)} is no class of a storage", where=where)
    if kind in UNTYPED_STORAGES:
        return None
    if kind in CPP_STORAGES:
        return CPP_STORAGES[kind]
    if kind.module != "torch" or kind.name not in dtypes.BY_TORCH_STORAGE:
        raise UnsupportedError(f"storages of the class {describe(kind)} are not read", where=where)
    return dtypes.BY_TORCH_STORAGE[kind.name]


def storage_identity(identity: object, where: str) -> StorageIdentity:
    """Take a persistent id ("storage", type, key, location, numel[, view]) apart.

    Raises:
        CorruptError: It is none.
        UnsupportedError: A storage of a type that is not read.
    """
    parts = identity if isinstance(identity, tuple) else ()
    if len(parts) not in (5, 6) or parts[0] != "storage":
        raise CorruptError(f"persistent id {describe(identity)} is no storage", where=where)
    _, kind, key, location, count, *views = parts
    key = str(key) if type(key) is int and 0 <= key < 1 << 64 else key
    if not isinstance(key, str) or not isinstance(location, str):
        raise CorruptError(f"storage {describe(key)} is described by values of other types", where=where)
    if type(count) is not int or not 0 <= count < 1 << 60:
        raise CorruptError(f"storage {key[:80]!r} has {describe(count)} as number of elements", where=where)
    view = views[0] if views else None
    if view is not None:
        view = storage_view(view, count, where)
    return StorageIdentity(storage_type(kind, where), key, location, count, view)


def storage_view(view: object, count: int, where: str) -> tuple[str, int, int]:
    """A view (key, first element, elements) of a storage of that many elements."""
    parts = view if isinstance(view, (tuple, list)) and len(view) == 3 else (None, None, None)
    key, first, elements = parts
    key = str(key) if type(key) is int else key
    if not isinstance(key, str) or type(first) is not int or type(elements) is not int:
        raise CorruptError("a view of a storage has no proper key, offset and size", where=where)
    if first < 0 or elements < 0 or first + elements > count:
        raise CorruptError(f"a view of a storage reaches beyond its {count} elements", where=where)
    return key, first, elements
