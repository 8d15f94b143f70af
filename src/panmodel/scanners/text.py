"""Plain text: licences, read-me files, vocabularies, source code, and YAML, whose tags can name anything of Python.

Text is data to whoever loads a model, as long as it is no pickle (which may be text too, and is looked at as such).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNREADABLE, Scanner, Subject, climbs_out
from panmodel.scanners.keras_config import LAMBDA, LOADER
from panmodel.scanners.pickle_names import is_allowed, is_stdlib
from panmodel.wire.pickle import Global

TAG = Rule(
    "PM-YAML-TAG",
    Level.DANGEROUS,
    "A YAML tag names something of Python that loading the text makes or calls.",
    "Do not load it with yaml.load or with the Keras of TensorFlow before 2.6.",
)
SCRIPT = Rule(
    "PM-SOURCE-CODE",
    Level.NOTE,
    "Source code or a script: it runs if somebody runs or imports it, or tells a loader to trust it.",
    "Read it first.",
)
CHECKPOINT = Rule(
    "PM-CHECKPOINT-PATH",
    Level.NOTE,
    "The checkpoint's state file has the full path of the computer that wrote it; TensorFlow looks there first.",
    "Name the checkpoint itself rather than its folder.",
)
CHECKPOINT_OUT = Rule(
    "PM-CHECKPOINT-ESCAPE",
    Level.DANGEROUS,
    "The checkpoint's state file leads out of its folder.",
    "Name the checkpoint itself, or correct the file.",
)
TARGET = Rule(
    "PM-CONFIG-TARGET",
    Level.DANGEROUS,
    "Settings name something of Python's library that a loader of them (Hydra, NeMo) calls.",
    "Do not load it; settings of a model name layers and optimizers.",
)
TEMPLATE = Rule(
    "PM-TEMPLATE",
    Level.DANGEROUS,
    "A template of Jinja reaches for what is inside of Python; rendering it outside of a sandbox runs any code.",
    "Do not load it; templates of chats need nothing of the kind.",
)
#: Tags of plain values, as the YAML of old Keras models has them.
_PLAIN = re.compile(r"(none|bool|bytes|str|unicode|int|long|float|complex|list|tuple|dict)")
_TAGS = re.compile(r"(?:!!|!<tag:yaml\.org,2002:|tag:yaml\.org,2002:)python/([^\s>,\]}]*)")
_ALIASED = re.compile(r"(?:^|[\n\r\x85\u2028\u2029])%TAG[ \t]+(\S+)[ \t]+(\S+)")
_PYTHON = "tag:yaml.org,2002:python/"
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_CLASS_NAME = re.compile(r"""\bclass_name["']?\s*:\s*["']?(\w+)""")
#: How text in JSON and in YAML may write letters.
_LETTER = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_TARGET = re.compile(r"""_target_["']?\s*:\s*["']?([A-Za-z_][\w.]*)""")
#: Of Python's library, what settings call to make values.
_HARMLESS_TARGETS = re.compile(r"functools\.partial|collections\.\w+|math\.\w+|operator\.itemgetter")
_REACHING = re.compile(r"__(?:globals|subclasses|builtins|import|mro|bases?|getattribute|code|closure)__")
_LONGEST_EXPRESSION = 1000  # characters of a template before such a word
_BLANK = r"(?:\s|\#[^\n]*\n)*+"
_QUOTED = r"""(?:"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')"""
_STATE = re.compile(rf"\bmodel_checkpoint_path{_BLANK}:({_BLANK}{_QUOTED}(?:{_BLANK}{_QUOTED})*)")
_STATE_ALL = re.compile(rf"\ball_model_checkpoint_paths{_BLANK}:({_BLANK}{_QUOTED}(?:{_BLANK}{_QUOTED})*)")
_PIECE = re.compile(_QUOTED)
#: What each graph in text form has.
_NODE = re.compile(r"\bnode(?:_def)?\s*+:?\s*+[{<]")
_OPERATOR = re.compile(r"\bop\s*+:\s*+[\"']")
_CODE = re.compile(r"\A#!|^(?:import \w|from [\w.]+ import |def \w+\(|class \w+[:(])", re.MULTILINE)
_LOOKED_AT, _LARGEST = 4096, 64 << 20
_GRAPH = "TensorFlow graph"  # the name of the scanner of graphs
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\v\f\r\x1b")


def recognises(subject: Subject) -> bool:
    """Whether all of it is UTF-8 text without control characters. Nothing at all is text too."""
    if subject.source.size > _LARGEST:
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in subject.source.chunks(0, subject.source.size):
            data = bytes(piece)
            if data.translate(None, _CONTROL) != data:
                return False
            decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def scan(subject: Subject) -> None:
    """Look for tags of YAML, the state file of a checkpoint, and source code."""
    text = subject.source.read(0, subject.source.size).decode()
    plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)  # as tags may be written
    for tag in sorted(set(_TAGS.findall(plain))):
        if not _PLAIN.fullmatch(tag):
            subject.report(TAG, f"!!python/{tag[:200]}")
    for handle, prefix in _ALIASED.findall(plain):
        if "python" in prefix or prefix.startswith("tag:yaml.org,2002:") or _PYTHON.startswith(prefix):
            subject.report(TAG, f"the handle {handle[:80]} stands for {prefix[:200]}")
    _judge_settings(subject, _LETTER.sub(lambda match: chr(int(match[1] or match[2], 16)), text))
    if text.lstrip()[:1] not in ("{", "[", '"'):
        for name in sorted(set(_CLASS_NAME.findall(text)) & {"Lambda", "TFSMLayer", "TorchModuleWrapper"}):
            subject.report(LAMBDA if name == "Lambda" else LOADER, f"a {name} layer in YAML")
    for path in _states(text):
        if climbs_out(path):
            away = ".." in path.replace("\\", "/").split("/") or "://" in path or path.startswith("~")
            subject.report(CHECKPOINT_OUT if away else CHECKPOINT, f"names {path[:200]!r}")
    if _GRAPH not in subject.kinds and _OPERATOR.search(text) and _NODE.search(text):
        subject.report(UNREADABLE, "has nodes and operators, as a graph in text form has, but is not to be read as one")
    if not subject.torchscript and _CODE.search(text[:_LOOKED_AT]):
        subject.report(SCRIPT, "is source code")


def _judge_settings(subject: Subject, text: str) -> None:
    """Look for what loaders of settings call, and for templates that reach out."""
    for target in sorted(set(_TARGET.findall(text))):
        module, _, name = target.rpartition(".")
        named = Global(module or "builtins", name)
        if is_stdlib(named) and not is_allowed(named) and not _HARMLESS_TARGETS.fullmatch(target):
            subject.report(TARGET, f"names {target[:200]}")
    for word in _REACHING.finditer(text):
        before = text[max(word.start() - _LONGEST_EXPRESSION, 0) : word.start()]
        if max(before.rfind("{{"), before.rfind("{%")) > max(before.rfind("}}"), before.rfind("%}")):
            subject.report(TEMPLATE, f"uses {word[0]}")
            break


def _states(text: str) -> Iterator[str]:
    """The paths that the state file of a checkpoint names, in whatever way they are quoted."""
    found = [*_STATE.findall(text), *_STATE_ALL.findall(text)]
    for pieces in dict.fromkeys(found):
        quoted = "".join(piece[1:-1] for piece in _PIECE.findall(pieces))
        try:
            yield codecs.escape_decode(quoted.encode())[0].decode("utf-8", "replace")
        except ValueError:
            yield quoted


SCANNER = Scanner("text", recognises, scan, (TAG, SCRIPT, CHECKPOINT, CHECKPOINT_OUT, LAMBDA, LOADER, TARGET, TEMPLATE))
