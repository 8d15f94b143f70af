"""Which TensorFlow operators read or write files, run code of the process, or speak over the network.

Source: the operators that TensorFlow 1.15 and 2.21 register (`known/tensorflow_operators.txt`), and TensorFlow's
SECURITY.md, by which a graph is a program.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from panmodel.model.finding import Level, Rule
from panmodel.wire.tensorflow_messages import NodeDef

FILE = Rule(
    "PM-TF-FILE",
    Level.DANGEROUS,
    "An operator of the graph reads or writes files of the computer that runs it.",
    "Do not run the graph; cut it behind these nodes, or ask its author for a graph without input and output of files.",
)
CODE = Rule(
    "PM-TF-CODE",
    Level.DANGEROUS,
    "An operator of the graph runs code of the process, or of another computer.",
    "Do not run the graph; ask its author for one without Python functions, remote calls and custom calls.",
)
CUSTOM = Rule(
    "PM-TF-CUSTOM-OP",
    Level.UNDECIDED,
    "An operator that TensorFlow does not have: it comes with a native library, which is not in the file.",
    "It is as safe as that library.",
)
DECODER = Rule(
    "PM-TF-DECODE",
    Level.NOTE,
    "An operator decodes pictures, sound or the like, which keeps a native parser busy with whatever is fed.",
    "Keep TensorFlow up to date if the model is fed by strangers.",
)
TABLE = Rule(
    "PM-TF-ASSET-TABLE",
    Level.NOTE,
    "A lookup table is filled from a text file that the model brings along.",
    "Nothing: the file lies in the model's own folder.",
)
RULES = (FILE, CODE, CUSTOM, DECODER, TABLE)

#: Operators of the saver, which each training graph and SavedModel has; see `tensorflow_saver`.
SAVERS = frozenset({"SaveV2", "RestoreV2", "Save", "SaveSlices", "Restore", "RestoreSlice", "MergeV2Checkpoints"})
SAVERS |= {"ShardedFilename", "ShardedFilespec"}
TABLES = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})

_FILES = re.compile(
    r"(Experimental)?("
    r"ReadFile|WriteFile|MatchingFiles(Dataset)?|WholeFileReader(V2)?|TextLine(Reader(V2)?|Dataset)"
    r"|FixedLengthRecord(Reader(V2)?|Dataset(V2)?)|TFRecord(Reader(V2)?|Dataset(V2)?)|LMDB(Reader|Dataset)"
    r"|IdentityReader(V2)?|SqlDataset|CSVDataset(V2)?|(Choose)?FastestBranchDataset|CacheDataset(V2)?"
    r"|SaveDataset(V2)?|LoadDataset|DistributedSave|DatasetToTFRecord|.*Snapshot.*|LoadAndRemapMatrix|DTensorRestoreV2"
    r"|CreateSummary(File|Db)Writer|CalibrationStatisticsSaver|DumpTensor|FileSystemSetConfiguration"
    r"|GcsConfigure\w+|BigQueryReader|GenerateBigQueryReaderPartitions|.*Bigtable.*|.*Kafka.*"
    r"|RecordInput|GenerateVocabRemapping|InitializeTableFromDataset|RestoreSliceV2|CheckpointReader)"
)
_CODE = re.compile(
    r"PyFunc(Stateless)?|EagerPyFunc|XlaCustomCall(V2)?|XlaHostCompute|_XlaHostComputeMlir|RemoteCall|Rpc\w*|TryRpc"
    r"|RemoteFusedGraphExecute|DebugIdentity(V2|V3)?|DebugNanCount|DebugNumericSummary(V2)?|XlaCallModule"
    r"|RegisterDataset(V2)?|DatasetFromGraph|DeserializeIterator|WorkerHeartbeat|Abort|DataServiceDataset(V2|V3|V4)?|.*Kernel(Launch|Call)|TfLite\w+|.*TRTEngineOp|_TPUCompileMlir"
)
_DECODERS = re.compile(
    r"Decode(Png|Jpeg|AndCropJpeg|Gif|Bmp|Image|WebP|Jxl|Wav|Compressed|JSONExample|ProtoV2)|DecodeWav"
)
#: Operators that read a file if an attribute names one.
READERS = {"ImmutableConst": "memory_region_name", "Skipgram": "filename", "FixedUnigramCandidateSampler": "vocab_file"}
#: Places in the file of the graph itself, and what stands for an attribute that the caller of a function gives.
_OWN_PLACE, _GIVEN = "memmapped_package://", "$"


@cache
def registered() -> frozenset[str]:
    """Every operator that TensorFlow itself has."""
    text = resources.files(__package__).joinpath("known", "tensorflow_operators.txt").read_text("ascii")
    return frozenset(text.split())


def judge(node: NodeDef) -> tuple[Rule, str] | None:
    """What is to be said about a node by its operator and attributes alone; None if nothing.

    The saver's operators and tables filled from files are judged by where they stand, not here.
    """
    op = node.op
    if op == "PrintV2":
        stream = _text(node, "output_stream")
        return (FILE, f"PrintV2 to {stream[:200]}") if stream.startswith(("file", _GIVEN)) else None
    if op in READERS:
        place = _text(node, READERS[op])
        return (FILE, f"{op} reads {place[:200]}") if place and not place.startswith(_OWN_PLACE) else None
    if op in ("DecodeProtoV2", "EncodeProto"):
        schema = _text(node, "descriptor_source")
        if schema and not schema.startswith(("local://", "bytes://")):
            return FILE, f"{op} reads its schema from {schema[:200]}"
    if _FILES.fullmatch(op):
        return FILE, op
    if _CODE.fullmatch(op):
        return CODE, op
    return (DECODER, op) if _DECODERS.fullmatch(op) else None


def _text(node: NodeDef, attribute: str) -> str:
    value = node.attr.get(attribute)
    if value is not None and value.placeholder:
        return f"{_GIVEN}{value.placeholder}"
    return value.s.decode("utf-8", "replace") if value is not None and value.s else ""
