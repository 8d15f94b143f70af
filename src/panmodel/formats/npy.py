"""numpy's .npy: one array.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

from panmodel.errors import CorruptError, UsageError
from panmodel.io.sink import Sink
from panmodel.io.source import Extent, Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Notice
from panmodel.wire import npy


def sniff(location: Location) -> bool:
    """Whether the file begins with the magic."""
    return location.head(len(npy.MAGIC)) == npy.MAGIC


def read(location: Location) -> Model:
    """Open a file; only its header is read. The array goes by the name of the file, unless it says another itself.

    Raises:
        CorruptError: The header breaks a rule of the format, or another number of elements follows.
        UnsafeError: The array is made of pickled objects.
        UnsupportedError: The elements are of a type that no model has.
    """
    from panmodel.model.numpy.reading import assumptions, tensor_of

    source, where = location.open(), str(location)
    header = npy.read_header(source.read(0, min(source.size, npy.AHEAD)), where)
    source.check(header.begin, header.nbytes)
    if rest := source.size - header.begin - header.nbytes:
        hint = "several arrays in one file belong into an .npz"
        raise CorruptError(f"{rest} bytes follow the array", where=where, hint=hint)
    name = header.extra.get("name", location.path.stem)
    extent = Extent(source, header.begin, header.nbytes)
    tensor = tensor_of(name, header, lambda: source.chunks(extent.offset, extent.nbytes), where, extent=extent)
    return Model(FORMAT.name, tensors={name: tensor}, notices=assumptions([(name, header)]), source=where)


def write(model: Model, sink: Sink) -> None:
    """Write the one tensor of a model.

    Raises:
        UsageError: It has another number of tensors.
        UnsupportedError: numpy has no arrays of its elements.
    """
    from panmodel.model.numpy.writing import array_of, require_writable

    where = str(sink.target)
    if len(model.tensors) != 1:
        hint = "choose one with --include, or write an .npz"
        raise UsageError(f"an .npy file holds one tensor, the model has {len(model.tensors)}", where=where, hint=hint)
    require_writable(model.tensors, where)
    ((name, tensor),) = model.tensors.items()
    sink.open().write_all(array_of(tensor, name if name != sink.target.stem else None).pieces())


def _remarks(model: Model, _: str) -> list[Notice]:
    from panmodel.model.numpy.writing import remarks

    return remarks(model.tensors.values())


FORMAT = Format(
    name="npy",
    summary="numpy .npy: one array",
    extensions=(".npy",),
    spec="https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html",
    holds=Holds.WEIGHTS,
    sniff=sniff,
    read=read,
    write=write,
    remarks=_remarks,
    any_weights=False,
)
