"""panmodel opens, inspects, checks, runs, compares and converts deep-learning model files.

It needs none of the frameworks that wrote a file, and executes nothing that a file carries.

    import panmodel as pm
    model = pm.read("model.ckpt")                     # lazy, whatever the size
    pm.inspect("model.ckpt")
    pm.convert("model.ckpt", "model.onnx")
    pm.convert("model.ckpt", "net.py")                # readable PyTorch source, net.safetensors beside it
    module = pm.to_torch("model.ckpt")
    pm.verify("model.ckpt", "model.onnx")
    pm.diff("model.ckpt", "model.safetensors")
    pm.scan("model.pt").verdict                       # could loading it execute something, or reach outside?
"""

from panmodel.convert import convert, to_torch, write
from panmodel.diff import diff
from panmodel.errors import PanmodelError
from panmodel.formats import read
from panmodel.inspection import Inspection, inspect
from panmodel.model.comparison import Comparison
from panmodel.model.finding import Finding, Scan, Verdict
from panmodel.model.model import Model
from panmodel.model.notice import Notice
from panmodel.model.report import Difference, Report, Verification
from panmodel.model.tensor import Tensor
from panmodel.scan import scan
from panmodel.verify import verify
from panmodel.version import VERSION

__version__ = VERSION

__all__ = [
    "Comparison",
    "Difference",
    "Finding",
    "Inspection",
    "Model",
    "Notice",
    "PanmodelError",
    "Report",
    "Scan",
    "Tensor",
    "Verdict",
    "Verification",
    "__version__",
    "convert",
    "diff",
    "inspect",
    "read",
    "scan",
    "to_torch",
    "verify",
    "write",
]
