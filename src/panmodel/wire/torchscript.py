"""TorchScript archives: a program in a language of its own, and the objects that it works on.

    <root>/data.pkl           the main module; objects are of classes __torch__.…, which code/ defines (since 1.4)
    <root>/data/<key>         the bytes of a storage
    <root>/constants.pkl      the tensors that the program mentions as CONSTANTS.c0 …; storages in constants/
    <root>/code/…/<name>.py   the program
    <root>/version, byteorder

Until 1.3, `<root>/model.json` stands in the place of data.pkl: see `wire.torchscript_json`. Nothing of the program is
run or compiled; it is looked at for which tensors of a class are parameters and which are buffers.

Source: torch/csrc/jit/docs/serialization.md, torch/csrc/jit/serialization (export_module.cpp, pickler.cpp)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from panmodel.errors import CorruptError, LimitError, UnsafeError
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import Constructor, Global, describe
from panmodel.wire.torch_rebuild import Rebuilding
from panmodel.wire.torch_unpickling import CPP_STORAGES, Unpickling
from panmodel.wire.torch_zip import ZipStorages, find_root, is_big_endian, member_text
from panmodel.wire.zip import Archive

#: The module of every class that a program defines; of nested ones, what its names begin with.
CLASSES = "__torch__"
_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")
#: Number of a layout in C++ → its name, and how many tensors one is made of.
_LAYOUTS = {
    1: ("sparse_coo", 2),
    2: ("sparse_csr", 3),
    4: ("sparse_csc", 3),
    5: ("sparse_bsr", 3),
    6: ("sparse_bsc", 3),
}
_CLASS = re.compile(
    r"^class (\w+)\(Module\):\n  __parameters__ = \[(.*)\]\n(?:  __buffers__ = \[(.*)\]\n)?", re.MULTILINE
)
_TEXT = re.compile(r'"([^"\\]*)"')


@dataclass(frozen=True, slots=True)
class Registered:
    """What a class has in its state dict.

    Attributes:
        parameters: Attributes that are parameters.
        buffers: Attributes that are buffers; None if the file does not tell buffers from other tensors.
    """

    parameters: tuple[str, ...]
    buffers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Script:
    """What a TorchScript archive holds.

    Attributes:
        value: The main module: an inert object, whose state has tensors and further objects.
        constants: The constants of the program; position → value.
        archive: The archive.
        root: The folder in it that everything lies in.
        big_endian: Storages are big-endian.
        registered: Class → its parameters and buffers.
    """

    value: object
    constants: Mapping[int, object]
    archive: Archive
    root: str
    big_endian: bool = False
    registered: Mapping[Global, Registered] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version of the container; "" if it has none."""
        return member_text(self.archive, f"{self.root}/version") or member_text(
            self.archive, f"{self.root}/.data/version"
        )

    @property
    def code(self) -> dict[str, int]:
        """The files of the program, relative to the root, and the size of each in bytes."""
        members = self.archive.members
        return {name.removeprefix(f"{self.root}/"): members[name].size for name in _programs(members, self.root)}

    def files(self, folder: str) -> list[str]:
        """What lies in a folder of the archive, relative to that."""
        prefix = f"{self.root}/{folder}/"
        return [name.removeprefix(prefix) for name in self.archive.members if name.startswith(prefix)]


def script_root(names: Collection[str]) -> str | None:
    """The folder of a TorchScript archive with members of these names; None if it is no such archive."""
    root = find_root(names)
    if root is not None:
        prefix = f"{root}/code/"
        is_script = f"{root}/constants.pkl" in names or any(name.startswith(prefix) for name in names)
        return root if is_script else None
    old = (name.removesuffix("/model.json") for name in names if name.endswith("/model.json"))
    return next((root for root in old if "/" not in root and f"{root}/version" in names), None)


def load_pickled(archive: Archive, root: str, *, limits: Limits = DEFAULT) -> Script:
    """Open an archive of torch 1.4 or later. No storage is read.

    Args:
        archive: The archive.
        root: Its folder.
        limits: Caps on what it asks for.

    Raises:
        CorruptError: A pickle is broken, or a tensor lies outside its storage.
        UnsafeError: A pickle names things that TorchScript does not; all of them are listed.
    """
    big_endian = is_big_endian(archive, root)
    unpickling = Unpickling(archive.source, pickle_names(archive.source.name), limits)
    value = _unpickled(unpickling, archive, root, "data", big_endian)
    constants: object = ()
    if f"{root}/constants.pkl" in archive.members:
        constants = _unpickled(unpickling, archive, root, "constants", big_endian)
    if not isinstance(constants, (tuple, list)):
        raise CorruptError(f"the constants are {describe(constants)}, not a tuple", where=archive.source.name)
    refuse_foreign(unpickling)
    numbered = dict(enumerate(constants))
    return Script(value, numbered, archive, root, big_endian, dict(registered(archive, root, limits)))


def _unpickled(unpickling: Unpickling, archive: Archive, root: str, name: str, big_endian: bool) -> object:
    where = f"{archive.source.name}, {root}/{name}.pkl"
    data = archive.read(f"{root}/{name}.pkl", limit=unpickling.limits.pickle_bytes)
    return unpickling.run_whole(data, where, ZipStorages(archive, f"{root}/{name}", where, big_endian).storage)


def pickle_names(where: str) -> dict[Global, Constructor | None]:
    """What pickles of TorchScript name beside those of torch.save."""

    def tagged(args: tuple[object, ...]) -> object:
        """restore_type_tag(value, type): the value."""
        if len(args) != 2 or not isinstance(args[1], str):
            raise CorruptError("a type tag is restored from other things than a value and a type", where=where)
        return args[0]

    def listed(args: tuple[object, ...]) -> object:
        """build_intlist([…]): the list."""
        if len(args) != 1 or not isinstance(args[0], list):
            raise CorruptError("a list is built of something else than a list", where=where)
        return args[0]

    def sparse(args: tuple[object, ...]) -> object:
        """_rebuild_sparse_tensor(layout, size, requires_grad, component, …, hooks), in an order of C++'s own."""
        if len(args) < 4 or type(args[0]) is not int or args[0] not in _LAYOUTS:
            return rebuilding.sparse(args)
        layout, count = _LAYOUTS[args[0]]
        return rebuilding.sparse((layout, (*args[3 : 3 + count], args[1])))

    rebuilding = Rebuilding(where, 0, DEFAULT)
    names: dict[Global, Constructor | None] = {Global("torch.jit._pickle", name): listed for name in _LISTS}
    names[Global("torch.jit._pickle", "restore_type_tag")] = tagged
    names |= dict.fromkeys(CPP_STORAGES)
    return {**names, Global("torch._utils", "_rebuild_sparse_tensor"): sparse}


def refuse_foreign(unpickling: Unpickling) -> None:
    """See that the pickles name nothing but classes of the program and what is on the allow-list.

    Raises:
        UnsafeError: They do; all such names are listed.
    """
    foreign = [name for name in unpickling.unknown if f"{name.module}.".partition(".")[0] != CLASSES]
    if foreign:
        shown = ", ".join(map(describe, foreign))
        message = f"the pickles name {len(foreign)} thing(s) that are no part of TorchScript: {shown}"
        hint = "unpickling them would execute them; ask its author for safetensors or a plain state dict"
        raise UnsafeError(message, where=unpickling.source.name, hint=hint)


def registered(archive: Archive, root: str, limits: Limits = DEFAULT) -> Iterator[tuple[Global, Registered]]:
    """The parameters and buffers of each class of modules, as the text of the program lists them.

    Raises:
        CorruptError: A text is damaged.
        LimitError: The texts are larger than any program.
    """
    left = limits.text_bytes
    for name in _programs(archive.members, root):
        left -= archive.members[name].size
        if left < 0:
            raise LimitError(f"the program has over {limits.text_bytes} bytes", where=archive.source.name)
        text = archive.read(name, limit=limits.text_bytes).decode("utf-8", "replace")
        module = name.removeprefix(f"{root}/code/").removesuffix(".py").replace("/", ".")
        for found in _CLASS.finditer(text):
            cls, parameters, buffers = found.groups()
            yield Global(module, cls), Registered(_names(parameters), None if buffers is None else _names(buffers))


def _programs(names: Collection[str], root: str) -> list[str]:
    return [name for name in names if name.startswith(f"{root}/") and name.endswith(".py")]


def _names(text: str) -> tuple[str, ...]:
    return tuple(_TEXT.findall(text))
