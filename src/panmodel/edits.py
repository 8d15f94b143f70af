r"""What a user changes about tensors on their way: which ones, under what names, of what type.

A pattern is held against the whole name, as the shell does with files: `*` stands for any characters, `?` for one,
`[ab]` for one of these. A rule for new names is `PATTERN=REPLACEMENT`, where each `*` of the replacement is what the
`*` in the same place of the pattern stood for; or `s/REGEX/REPLACEMENT/`, which replaces every part of a name that the
regular expression matches (any sign does for the slash, `\/` is a slash in either part, and a `g` may follow). Rules
apply one after the other, and may come from a file of one rule a line.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from panmodel.dtypes import ALL, DType
from panmodel.errors import UnknownNameError, UsageError
from panmodel.model.casting import cast
from panmodel.model.model import Model
from panmodel.model.notice import Cast
from panmodel.model.partitioned import identities, is_among
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState

_WILDCARD = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]")
_SED = re.compile(
    r"s(?P<sign>[^\w.*?\[=\\])(?P<regex>((?!(?P=sign))[^\\]|\\.)+)(?P=sign)(?P<replacement>((?!(?P=sign))[^\\]|\\.)*)(?P=sign)g?",
    re.DOTALL,
)
_Apply = Callable[[str], str | None]
#: Bytes of a file of rules that are read.
_LONGEST = 64 << 20


@dataclass(frozen=True, slots=True)
class Rule:
    """How names change.

    Attributes:
        text: What the user wrote.
        apply: Takes a name, gives the new one; None for a name that it says nothing of.
    """

    text: str
    apply: _Apply


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes to the tensors of a model; made by `edits`.

    Attributes:
        include: Patterns of which a name must meet one; empty for all names.
        exclude: Patterns of which a name must meet none.
        rules: Rules for new names, in order.
        dtype: Type that floating-point weights are rounded to; those of the training state stay as they are.
        drop_training: Leave the training state out.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = field(default=())
    dtype: DType | None = None
    drop_training: bool = False

    @property
    def touch_weights(self) -> bool:
        """Whether they change anything but the training state."""
        return bool(self.include or self.exclude or self.rules or self.dtype)

    def apply(self, model: Model) -> Model:
        """The model after the changes; the given one stays as it is.

        Raises:
            UnknownNameError: A pattern meets no name.
            UsageError: No tensor is left, a rule meets no name, or two come to have one name.
        """
        kept = self._kept(model)
        names = self._renamed(kept, model.source)
        tensors = {names[name]: model.tensors[name] for name in kept}
        notices = list(model.notices)
        if self.dtype is not None:
            tensors, rounded = _cast(tensors, self.dtype, _slot_identities(model))
            notices += rounded
        training = None if self.drop_training else _edited_training(model, names)
        structure = model.structure
        if structure is not None and (self.drop_training or names != {name: name for name in model.tensors}):
            structure = structure.edited(names, keep_training=not self.drop_training)
        return replace(model, tensors=tensors, training=training, structure=structure, notices=notices)

    def names(self, model: Model) -> dict[str, str]:
        """Old name → new name of the tensors that go under another one."""
        if not self.rules:
            return {}
        return {old: new for old, new in self._renamed(self._kept(model), model.source).items() if old != new}

    def _kept(self, model: Model) -> list[str]:
        gone = model.training.names if self.drop_training and model.training is not None else frozenset()
        wanted = chosen(model.tensors, self.include, self.exclude, model.source)
        kept = [name for name in model.tensors if name in wanted and name not in gone]
        if not kept and model.tensors:
            raise UsageError("no tensor is left", where=model.source, hint="`panmodel inspect --tensors` lists them")
        return kept

    def _renamed(self, kept: Sequence[str], where: str) -> dict[str, str]:
        names: dict[str, str] = {}
        taken: dict[str, str] = {}
        met: set[str] = set()
        for name in kept:
            new = name
            for rule in self.rules:
                if (changed := rule.apply(new)) is not None:
                    new = changed
                    met.add(rule.text)
            if name and not new:
                raise UsageError(
                    f"{name!r} would have no name any more", where=where, hint="mend the rules of --rename"
                )
            if new in taken:
                message = f"{taken[new]!r} and {name!r} would both be named {new!r}"
                raise UsageError(message, where=where, hint="make the rules of --rename tell them apart")
            names[name], taken[new] = new, name
        for rule in self.rules:
            if rule.text not in met:
                hint = "`panmodel inspect --tensors` lists the names"
                raise UsageError(f"{rule.text!r} meets the name of no tensor", where=where, hint=hint)
        return names


def edits(
    *,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    rename: str | Sequence[str] | Mapping[str, str] = (),
    dtype: str | None = None,
    drop_training: bool = False,
) -> Edits:
    """Changes, as a user words them.

    Args:
        include: Patterns of the names to take.
        exclude: Patterns of the names to leave out.
        rename: Rules, or files of rules (`.json`: an object of old and new names); or old names and their new ones.
        dtype: Name of a floating-point type.
        drop_training: Leave the training state out.

    Raises:
        UsageError: A rule or a type is none.
    """
    if isinstance(rename, Mapping):
        rules = [Rule(str(dict(rename)), _new_names(rename, "").get)] if rename else []
    else:
        rules = [_given_rule(text) for text in several(rename, "rename")]
    to = _dtype(dtype) if dtype is not None else None
    kept, left = several(include, "include"), several(exclude, "exclude")
    return Edits(tuple(kept), tuple(left), tuple(rules), to, drop_training)


def several(given: str | Iterable[str], what: str = "the names") -> Sequence[str]:
    """A list of what is given; a single text is one, and not a list of letters.

    Args:
        given: What a caller gave as texts.
        what: What to call it in the message.

    Raises:
        UsageError: It is something else.
    """
    found = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else None
    if found is None or not all(isinstance(text, str) for text in found):
        raise UsageError(f"{what}: neither a text nor several of them: {given!r}"[:300])
    return found


def chosen(names: Collection[str], include: Sequence[str], exclude: Sequence[str], where: str) -> set[str]:
    """The names that meet a pattern of those to take, all if there is none, and no pattern of those to leave out.

    Raises:
        UnknownNameError: A pattern meets no name.
    """
    there = dict.fromkeys(names)  # those that are listed: a model may know its tensors by others, too
    return (_met(include, there, where) if include else set(there)) - _met(exclude, there, where)


def literal(name: str) -> str:
    """The pattern that this very name meets alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _met(patterns: Sequence[str], names: Collection[str], where: str) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        met = fnmatch.filter(names, pattern) if _WILDCARD.search(pattern) else [pattern] * (pattern in names)
        if not met:
            raise UnknownNameError("tensor", pattern, names, where=where)
        found.update(met)
    return found


def _dtype(name: str) -> DType:
    found = ALL.get(name) if isinstance(name, str) else None
    if found is None or not found.is_float:
        raise UnknownNameError(
            "floating-point type", str(name), [kind for kind, dtype in ALL.items() if dtype.is_float]
        )
    return found


# Rules for new names


def _given_rule(text: str) -> Rule:
    if not text or "=" in text or _sed_parts(text) is not None:
        return _rule(text)
    return _file_rule(Path(text))


def _rule(text: str, where: str = "") -> Rule:
    if (parts := _sed_parts(text)) is not None:
        return Rule(text, _substitution(*parts, text, where))
    pattern, _, replacement = text.partition("=")
    if not pattern or not replacement:
        raise UsageError(
            f"{text!r} is no rule for new names",
            where=where,
            hint="write PATTERN=REPLACEMENT, or s/REGEX/REPLACEMENT/",
        )
    return Rule(text, _glob(pattern, replacement, text, where))


def _sed_parts(text: str) -> tuple[str, str] | None:
    """REGEX and REPLACEMENT of `s/REGEX/REPLACEMENT/`, whatever sign is used for the slash."""
    found = _SED.fullmatch(text)
    if found is None:
        return None
    sign = found["sign"]
    return found["regex"], re.sub(r"\\(.)", lambda pair: sign if pair[1] == sign else pair[0], found["replacement"])


def _substitution(pattern: str, replacement: str, text: str, where: str) -> _Apply:
    try:
        expression = re.compile(pattern)
        expression.sub(replacement, "")
        re.compile(f"(?:{pattern})|").sub(replacement, "")  # whether the groups that it names are there
    except (re.error, IndexError) as error:
        raise UsageError(f"{text!r} is no rule for new names: {error}", where=where) from None
    return lambda name: expression.sub(replacement, name) if expression.search(name) else None


def _glob(pattern: str, replacement: str, text: str, where: str) -> _Apply:
    expression, stars, position = "", 0, 0
    for wildcard in _WILDCARD.finditer(pattern):
        expression += re.escape(pattern[position : wildcard.start()])
        group = fnmatch.translate(wildcard.group()).removeprefix("(?s:").rpartition(")")[0]
        expression, stars, position = f"{expression}({group})", stars + 1, wildcard.end()
    expression += re.escape(pattern[position:])
    pieces = replacement.split("*")
    if len(pieces) - 1 > stars:
        message = f"{text!r} has more * in the replacement than wildcards in the pattern"
        hint = "each * stands for what the wildcard in the same place of the pattern met"
        raise UsageError(message, where=where, hint=hint)
    compiled = re.compile(expression, re.DOTALL)

    def apply(name: str) -> str | None:
        met = compiled.fullmatch(name)
        if met is None:
            return None
        return pieces[0] + "".join(group + piece for group, piece in zip(met.groups(), pieces[1:], strict=False))

    return apply


def _file_rule(path: Path) -> Rule:
    """All rules of a file, one after the other."""
    if path.is_dir() or not path.exists():  # what a shell gives for `<(…)` is a pipe
        hint = "write PATTERN=REPLACEMENT, s/REGEX/REPLACEMENT/, or the name of a file of such rules"
        raise UsageError(f"{str(path)!r} is neither a rule for new names nor a file of them", hint=hint)
    text = _text(path)
    if path.suffix.lower() == ".json":
        return Rule(str(path), _names_of_json(text, path).get)
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    rules = [_rule(line, f"{path}, line {number}") for number, line in lines if line and not line.startswith("#")]

    def apply(name: str) -> str | None:
        new = None
        for rule in rules:
            if (changed := rule.apply(name)) is not None:
                new = name = changed
        return new

    return Rule(str(path), apply)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_LONGEST + 1)
    try:
        if len(data) <= _LONGEST:
            return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise UsageError("is no file of rules for new names, which is text", where=str(path))


def _names_of_json(text: str, path: Path) -> dict[str, str]:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is no JSON: {error}", where=str(path)) from None
    if not isinstance(names, dict):
        raise UsageError("is no object of old names and new ones", where=str(path))
    return _new_names(names, str(path))


def _new_names(names: Mapping[str, str], where: str) -> dict[str, str]:
    """Old names and their new ones, if they are such."""
    for old, new in names.items():
        if not (isinstance(old, str) and isinstance(new, str) and new):
            hint = "a name is a text with at least one character"
            raise UsageError(f"{old!r} cannot be renamed {new!r}"[:300], where=where, hint=hint)
    return dict(names)


# What hangs on the tensors


def _slot_identities(model: Model) -> set[int]:
    if model.training is None:
        return set()
    return {id(model.tensors[name]) for name in model.training.names if name in model.tensors}


def _cast(tensors: Mapping[str, Tensor], dtype: DType, training: set[int]) -> tuple[dict[str, Tensor], list[Cast]]:
    """Floating-point weights in another type; a tensor of two names stays one."""
    made: dict[int, Tensor] = {}
    rounded: list[str] = []
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dtype.is_float and tensor.dtype is not dtype and id(tensor) not in training:
            result[name] = made.setdefault(id(tensor), cast(tensor, dtype))
            if tensor.dtype.bits >= dtype.bits:
                rounded.append(name)
        else:
            result[name] = tensor
    notices = [Cast(f"the weights are rounded to {dtype}", tuple(rounded))] if rounded else []
    return result, notices


def _edited_training(model: Model, names: Mapping[str, str]) -> TrainingState | None:
    """The training state under the new names; what was left out is no part of it any more."""
    training = model.training
    if training is None:
        return None
    left = identities(model.tensors[name] for name in names)
    slots: dict[str, dict[str, Tensor]] = {}
    for variable, kinds in training.slots.items():
        if here := {slot: tensor for slot, tensor in kinds.items() if is_among(tensor, left)}:
            slots[names.get(variable, variable)] = here
    edited = replace(training, slots=slots, names=frozenset(names[name] for name in training.names if name in names))
    return edited if model.structure is not None else _without_lost(edited, model, names)


def _without_lost(training: TrainingState, model: Model, names: Mapping[str, str]) -> TrainingState:
    """A state that is told from tensors alone, without the numbers whose tensors were left out."""
    assert model.training is not None
    own = [(name in names, model.tensors[name]) for name in model.training.names if name in model.tensors]
    scalars = [(kept, tensor.item()) for kept, tensor in own if tensor.size == 1 and tensor.dtype.kind in "iuf"]
    gone = {value for kept, value in scalars if not kept} - {value for kept, value in scalars if kept}

    def is_gone(value: object) -> bool:
        return isinstance(value, (int, float)) and value in gone

    return replace(
        training,
        step=None if is_gone(training.step) else training.step,
        epoch=None if is_gone(training.epoch) else training.epoch,
        loss=None if is_gone(training.loss) else training.loss,
        hyperparameters={key: value for key, value in training.hyperparameters.items() if not is_gone(value)},
    )
