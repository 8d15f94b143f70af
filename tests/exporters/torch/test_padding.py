import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, graph_of, ints, numbers

from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

KNOWN = pytest.mark.parametrize("known", ["static", "symbolic"])


def padded(*pads, value=None, **attributes):
    return lambda b, x: b.op("Pad", x, ints(b, *pads), None if value is None else b.constant(value), **attributes)


@KNOWN
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize(
    ("shape", "pads"),
    [
        ((5,), (1, 2)),
        ((3, 4), (1, 0, 0, 2)),
        ((2, 3, 5), (0, 0, 2, 0, 0, 1)),
        ((2, 3, 4, 5), (0, 0, 0, 1, 0, 0, 0, 2)),
        ((2, 3, 4, 5), (0, 0, 1, 0, 0, 0, 2, 0)),
        ((2, 3, 4, 5), (0, 1, 1, 0, 0, 0, 2, 1)),
        ((1, 2, 3, 4, 5), (0, 0, 0, 1, 1, 0, 0, 0, 2, 1)),
        ((2, 3, 4, 5), (0, 0, -1, 1, 0, 0, 1, -1)),
    ],
)
def test_every_mode_on_every_axis(shape, pads, mode, dtype, known):
    if mode in ("reflect", "wrap") and min(pads) < 0:
        pytest.skip("runtimes differ in what they repeat after cropping")
    agrees(padded(*pads, mode=mode), numbers(*shape, dtype=dtype), known=known, opset=19)


def test_values():
    x = numbers(2, 3)
    assert agrees(padded(0, 1, 0, 1, value=-np.inf), x) == ["return F.pad(in0, (1, 1), value=-torch.inf)"]
    agrees(padded(1, 0, 0, 1, value=np.array([1.5], np.float32)), x)
    agrees(padded(1, 0, value=np.array(7)), numbers(3, dtype=np.int64))
    agrees(padded(1, 0, value=np.array(True)), np.array([True, False]))
    agrees(padded(1, 1), np.array([True, False]))
    agrees(lambda b, v, n: b.op("Pad", v, ints(b, 0, 1, 0, 1), n), x, np.array(2.5, np.float32))
    agrees(lambda b, v: b.op("Pad", v, pads=(0, 1, 1, 0), value=0.5), x, opset=10)


def test_axes_and_computed_pads():
    x = numbers(2, 3, 4)
    agrees(lambda b, v: b.op("Pad", v, ints(b, 1, 2), None, ints(b, -2)), x)
    for mode in ("constant", "reflect"):
        agrees(lambda b, v, p, m=mode: b.op("Pad", v, p, mode=m), x, np.array([0, 1, 2, 0, 0, 1]))
    assert agrees(padded(0, 0, 0, 0, 0, 0), x) == ["return in0"]
    graph = graph_of(lambda b, v, p: b.op("Pad", v, p), x, np.array([0, 1, 2, 0, 0, 1]), known="unknown")
    with pytest.raises(UnsupportedOperatorsError, match="axes to pad"):
        export(Model("onnx", graph))
