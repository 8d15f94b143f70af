"""What a conversion or a comparison found, as values: the command line prints them, programs read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from panmodel.model.notice import Notice


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two tensors of the same meaning are apart.

    Attributes:
        name: Name of the tensor in the first model.
        shape: Its dimensions.
        max_absolute: Largest |a - b| over all elements.
        max_relative: Largest |a - b| / |b| over elements of b that are not zero.
        within: Whether |a - b| <= atol + rtol * |b| holds everywhere, and shapes and NaNs agree.
        detail: Why they are not comparable, if they are not ("only in A", the first model, say).
    """

    name: str
    shape: tuple[int, ...]
    max_absolute: float
    max_relative: float
    within: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Two models run on the same inputs.

    Attributes:
        first: What ran the first model ("tensorflow 2.21.0", "onnxruntime 1.31.1", …).
        second: What ran the second.
        inputs: What they were run on, in words.
        outputs: One difference per output.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        layers: With layers asked for, how many intermediate tensors were compared.
        first_difference: The first intermediate tensor beyond the tolerances, in order of computation.
        only_first: What the first alone gives, compared with nothing; see `panmodel.verify`.
        only_second: What the second alone gives.
    """

    first: str
    second: str
    inputs: str
    outputs: Sequence[Difference]
    rtol: float
    atol: float
    layers: int = 0
    first_difference: Difference | None = None
    only_first: Sequence[str] = ()
    only_second: Sequence[str] = ()

    @property
    def same(self) -> bool:
        """Whether every output is within the tolerances."""
        return all(output.within for output in self.outputs)

    @property
    def max_absolute(self) -> float:
        """Largest absolute difference over all outputs."""
        return max((output.max_absolute for output in self.outputs), default=0.0)

    @property
    def max_relative(self) -> float:
        """Largest relative difference over all outputs."""
        return max((output.max_relative for output in self.outputs), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**asdict(self), "same": self.same}


@dataclass(slots=True)
class Report:
    """The receipt of a conversion.

    Attributes:
        source: Path read.
        source_format: Its format.
        target: Main file written.
        target_format: Its format.
        steps: What was done on the way, in order.
        files: Every file written (none in a dry run).
        tensors: Tensors written.
        nbytes: Bytes written.
        training: What became of the training state, in words; empty if the source has none.
        renamed: Old name → new name of every tensor that goes under another one.
        inputs: Inputs of the converted graph, as "name dtype[shape]".
        outputs: Likewise.
        permutes: Transposes that move data in the converted graph; None without one.
        seconds: Wall time.
        peak_memory: Largest resident size of the process so far, in bytes.
        verification: Comparison with the source, if asked for.
        notices: What could not be carried.
        dry_run: Nothing was written.
    """

    source: str
    source_format: str
    target: str
    target_format: str
    steps: Sequence[str] = ()
    files: Sequence[str] = ()
    tensors: int = 0
    nbytes: int = 0
    training: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    permutes: int | None = None
    seconds: float = 0.0
    peak_memory: int = 0
    verification: Verification | None = None
    notices: list[Notice] = field(default_factory=list)
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["notices"] = [notice.to_json() for notice in self.notices]
        plain["verification"] = self.verification.to_json() if self.verification else None
        return plain


def described(name: str, dtype: object, shape: Sequence[object] | None) -> str:
    """An input or output as people read it: "x float32[batch, 3]", with "?" for what is not known.

    Args:
        name: Its name.
        dtype: Its element type; None if unknown.
        shape: Its sizes, None for those unknown; None if not even their number is known.
    """
    sizes = "?" if shape is None else ", ".join("?" if size is None else str(size) for size in shape)
    return f"{name} {dtype or '?'}[{sizes}]"


def described_entry(entry: Mapping[str, Any]) -> str:
    """The same of an entry in the names that lie beside PyTorch source."""
    return described(entry["tensor"], entry.get("dtype"), entry.get("shape"))
