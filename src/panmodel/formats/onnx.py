"""ONNX model files, with their external data.

Source: https://onnx.ai/onnx/repo-docs/IR.html and https://onnx.ai/onnx/repo-docs/ExternalData.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from panmodel.errors import CorruptError, ReadError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location, Source
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Assumed, MetadataLost, Notice, TrainingStateLost
from panmodel.model.tensor import Tensor
from panmodel.version import VERSION
from panmodel.wire.onnx_messages import GraphProto
from panmodel.wire.protobuf import decode, encode, encoded_size

if TYPE_CHECKING:
    from panmodel.model.onnx.decoding import Decoder
    from panmodel.wire.onnx_messages import ModelProto, TensorProto


#: Protocol buffers cannot be read by the usual libraries beyond 2 GiB; some room is left for them to spare.
LARGEST_FILE = 2**31 - 1 - (1 << 20)
#: Weights of this size and more go to the external file, each on a page of its own so that it can be mapped.
PAGE = 4096

#: What the domain of ONNX's own operators is called where it is not left empty.
_OWN_DOMAIN = "ai.onnx"
#: What the description goes by among the strings.
_DESCRIPTION = "doc_string"

#: Fields of the outermost message: number → wire type.
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH, _IR_VERSION, _OPSET_IMPORT = 7, 1, 8
#: Fields that a graph may begin with, all of them of wire type 2.
_GRAPH_FIELDS = frozenset(GraphProto.fields)


def sniff(location: Location) -> bool:
    """Whether the file is an ONNX model: the outermost fields are walked, nothing inside them is read."""
    if not location.is_file:
        return False
    seen: set[int] = set()
    try:
        source = location.open()
        for number, wire, offset, nbytes in _fields(source):
            if _MODEL_FIELDS.get(number) != wire:
                return False
            if number == _GRAPH and not _is_graph(source, offset, nbytes):
                return False
            seen.add(number)
            if {_IR_VERSION, _GRAPH} <= seen or {_GRAPH, _OPSET_IMPORT} <= seen:
                return True
    except ReadError:
        return False
    return False


def read(location: Location) -> Model:
    """Open a model file.

    Raises:
        CorruptError: The content contradicts the format.
        UnsafeError: External data lies outside the model's folder.
        UnsupportedError: Sparse tensors of strings, or values that are no tensors.
    """
    from panmodel.model.onnx.decoding import Decoder
    from panmodel.wire.onnx_messages import ModelProto

    proto = decode(ModelProto, location.open())
    decoder = Decoder(proto, location)
    graph = decoder.graph()
    return Model(
        "onnx",
        graph,
        decoder.tensors,
        metadata=_metadata(proto),
        strings=_strings(proto),
        notices=_notices(proto, decoder),
        source=str(location),
    )


def write(model: Model, sink: Sink, *, largest: int = LARGEST_FILE) -> None:
    """Write a hub graph; weights stream from wherever they lie.

    Args:
        model: A model whose program is a hub graph.
        sink: Where to; a second file `<name>.data` takes the weights if the model gets too large for one.
        largest: Bytes that the model file itself may have.

    Raises:
        UnsupportedError: No hub graph, elements that ONNX does not have, or too large even without its weights.
    """
    from panmodel.model.graph import Graph
    from panmodel.model.onnx.encoding import encode_graph

    graph = model.program
    if not isinstance(graph, Graph):
        raise UnsupportedError(f"a {model.dialect or 'model without a graph'} cannot be written as ONNX as it is")
    proto, weights = encode_graph(graph)
    _sign(proto, model)
    if encoded_size(proto) > largest:
        _externalise(weights, sink)
    if (size := encoded_size(proto)) > largest:
        raise UnsupportedError(f"the graph takes {size} bytes without its weights, a file of ONNX at most {largest}")
    sink.open().write_all(encode(proto))


def _sign(proto: ModelProto, model: Model) -> None:
    """Producer, and what the model says about itself."""
    from panmodel.model.onnx.encoding import NEWEST_IR_VERSION, ir_version
    from panmodel.wire.onnx_messages import StringStringEntryProto

    proto.producer_name = "panmodel"
    proto.producer_version = VERSION
    strings = dict(model.strings)
    if description := strings.pop(_DESCRIPTION, ""):
        proto.doc_string = description
    proto.metadata_props = [StringStringEntryProto(key=key, value=value) for key, value in strings.items()]
    if model.format != "onnx":
        return
    said = model.metadata
    # as it was, since runtimes refuse versions newer than they are; before the least, initializers had to be inputs
    least = ir_version(1)
    proto.ir_version = max(least, min(said.get("ir_version", proto.ir_version), NEWEST_IR_VERSION))
    for key in ("domain", "model_version"):
        if said.get(key):
            setattr(proto, key, said[key])


def _externalise(weights: list[tuple[TensorProto, Tensor]], sink: Sink) -> None:
    """Move the large weights to a file beside the model, each at the start of a page."""
    from panmodel.wire.onnx_messages import EXTERNAL, StringStringEntryProto

    name = f"{sink.target.name}.data"
    file = sink.open(name)
    for message, tensor in weights:
        if not message.has("raw_data") or tensor.nbytes < PAGE:
            continue
        file.align(PAGE)
        entries = {"location": name, "offset": str(file.position), "length": str(tensor.nbytes)}
        file.write_all(tensor.chunks())
        del message.raw_data
        message.external_data = [StringStringEntryProto(key=key, value=value) for key, value in entries.items()]
        message.data_location = EXTERNAL


def _metadata(model: ModelProto) -> dict[str, Any]:
    said: dict[str, Any] = {
        "ir_version": model.ir_version,
        "producer_name": model.producer_name,
        "producer_version": model.producer_version,
        "domain": model.domain,
        "model_version": model.model_version,
        "opset_import": {opset.domain or _OWN_DOMAIN: opset.version for opset in model.opset_import},
        "functions": [f"{function.domain}.{function.name}" for function in model.functions],
    }
    return {key: value for key, value in said.items() if value not in ("", {}, [], 0)}


def _strings(model: ModelProto) -> dict[str, str]:
    """What its author says of the model; the description has a field of its own."""
    described = {_DESCRIPTION: model.doc_string} if model.doc_string else {}
    return {**described, **{entry.key: entry.value for entry in model.metadata_props}}


def _notices(model: ModelProto, decoder: Decoder) -> list[Notice]:
    found: list[Notice] = []
    # before version 4 every initializer had to be an input; since then it is a default that a caller may replace
    if decoder.defaults and model.ir_version >= 4:
        found.append(Assumed("inputs with a default value are taken as constants", tuple(decoder.defaults)))
    if model.training_info:
        found.append(TrainingStateLost("the training graph of the model is not read"))
    if model.graph is not None and model.graph.quantization_annotation:
        found.append(MetadataLost("quantization annotations are not read"))
    return found


def _fields(source: Source) -> Iterator[tuple[int, int, int, int]]:
    """The fields of the outermost message: number, wire type, and where the content of wire type 2 lies."""
    offset = 0
    for _ in range(_MOST_FIELDS):
        if offset >= source.size:
            return
        tag, offset = _varint(source, offset)
        number, wire = tag >> 3, tag & 7
        if wire not in (0, 2):
            raise CorruptError(f"wire type {wire}, which a model has not", where=source.name)
        value, offset = _varint(source, offset)
        yield number, wire, offset, value
        offset += value if wire == 2 else 0


#: Outermost fields that are looked at before the graph must have come.
_MOST_FIELDS = 10_000


def _is_graph(source: Source, offset: int, nbytes: int) -> bool:
    """Whether the content of a field begins like a graph does."""
    if nbytes == 0 or offset >= source.size:
        return True
    tag, _ = _varint(source, offset)
    return tag & 7 == 2 and tag >> 3 in _GRAPH_FIELDS


def _varint(source: Source, offset: int) -> tuple[int, int]:
    number = 0
    for place, byte in enumerate(source.read(offset, min(10, source.size - offset))):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, offset + place + 1
    raise CorruptError("a number runs past its end", where=source.name)


FORMAT = Format(
    name="onnx",
    summary="ONNX model, weights inside or as external data",
    extensions=(".onnx",),
    spec="https://onnx.ai/onnx/repo-docs/IR.html",
    holds=Holds.GRAPH | Holds.WEIGHTS | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    dialect="onnx",
    keeps_strings=True,
)
