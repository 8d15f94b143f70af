"""TorchScript's .pt: what torch.jit.save ever wrote. The weights are read; the program is neither run nor compiled.

Source: torch/csrc/jit/docs/serialization.md
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError, PanmodelError
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Assumed, MetadataLost
from panmodel.wire.zip import Archive, first_name, is_zip

if TYPE_CHECKING:
    from panmodel.model.torch.script import ScriptContents
    from panmodel.wire.torchscript import Script


#: The first member of an archive of which more cannot be read; one with data.pkl is taken for a plain pickle.
_FIRST = re.compile(r"[^/]+/(data/\d+|version|model\.json|code/.+)")


def sniff(location: Location) -> bool:
    """Whether it is an archive with a program. Of a damaged one the first member tells."""
    if not is_zip(location.head(4)):
        return False
    from panmodel.wire.torchscript import script_root

    source = location.open()
    try:
        return script_root(location.once(Archive).members) is not None
    except PanmodelError:
        return _FIRST.fullmatch(first_name(source)) is not None


def read(location: Location) -> Model:
    """Open an archive; no storage is read.

    Tensors go by the attributes that lead to them, as in a state dict; besides parameters and buffers there are plain
    attributes (`metadata["attributes"]`) and the constants of the program (`CONSTANTS.c0`).

    Raises:
        CorruptError: The archive or what describes its objects is broken.
        UnsafeError: A pickle names things that TorchScript does not; all of them are listed.
        UnsupportedError: Tensors of a kind that is not read.
    """
    from panmodel.model.torch.script import script_contents
    from panmodel.model.torch.skeleton import Branch
    from panmodel.model.torch.storage import tied_tensors
    from panmodel.model.torch.structure import Nested
    from panmodel.wire.pickle import Object, describe
    from panmodel.wire.torchscript import load_pickled, script_root
    from panmodel.wire.torchscript_json import load_json

    source = location.open()
    archive = Archive(source, zero_crc_is_absent=True)
    root = script_root(archive.members)
    if root is None:
        raise CorruptError("the archive has no TorchScript program", where=source.name)
    load = load_pickled if f"{root}/data.pkl" in archive.members else load_json
    script = load(archive, root)
    if not isinstance(script.value, Object):
        raise CorruptError(f"the main module is {describe(script.value)}, not an object", where=source.name)
    found = script_contents(script, source.name)
    model = Model(FORMAT.name, tensors=tied_tensors(found.tensors), source=source.name)
    model.metadata = _described(script, found)
    made_of_several = [name for name, node in found.nodes.items() if isinstance(node, Branch)]
    if made_of_several:
        model.structure = Nested(Branch("OrderedDict", tuple(found.nodes.items())))
        detail = "takes quantized and sparse tensors as the plain ones that they are made of"
        model.notices.append(Assumed(detail, tuple(made_of_several)))
    if found.opaque:
        detail = "values that are neither tensors nor plain values, or long lists"
        model.notices.append(MetadataLost(detail, tuple(found.opaque)))
    return model


def _described(script: Script, found: ScriptContents) -> dict[str, object]:
    """What the file says about itself; each only where it says something."""
    from panmodel.model.torch.script import class_name
    from panmodel.wire.pickle import Object
    from panmodel.wire.torch_zip import member_text

    assert isinstance(script.value, Object)
    version = script.version
    told: dict[str, object] = {"framework": "pytorch"}
    told["class"] = class_name(script.value.cls)
    told["container_version"] = int(version[:9]) if version.isdecimal() else None
    told["byteorder"] = "big" if script.big_endian else None
    told["devices"] = sorted({record.storage.location for record in found.tensors.values()} - {"cpu"})
    told["constants"] = len(script.constants)
    told["attributes"] = [name for name in found.attributes if not name.startswith("CONSTANTS.")]
    told["values"] = found.values
    told["module_tree"] = found.modules
    told["code"] = script.code
    told["bytecode"] = f"{script.root}/bytecode.pkl" in script.archive.members
    told["extra_files"] = script.files("extra")
    told["serialization_id"] = member_text(script.archive, f"{script.root}/.data/serialization_id")
    return {key: value for key, value in told.items() if value}


FORMAT = Format(
    name="torchscript",
    summary="TorchScript archives (torch.jit.save), of which the weights are read",
    extensions=(".pt", ".pth", ".jit", ".ptl", ".ts"),
    spec="https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/docs/serialization.md",
    holds=Holds.WEIGHTS | Holds.METADATA,
    sniff=sniff,
    read=read,
    unread="the program",
)
