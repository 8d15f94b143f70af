"""Functions that a generated file defines once when it needs them: what PyTorch has no call for.

They are text of the generated file: what panmodel itself never runs.
"""

from __future__ import annotations

_PAD_SAME = '''
def pad_same(x, kernel_size, stride, dilation, value=0.0, extra_first=False):
    """Zero-pads so that a strided window gives ceil(size / stride) positions on every axis."""
    padding = []
    for axis in range(len(kernel_size) - 1, -1, -1):
        size = x.shape[axis + 2]
        reach = dilation[axis] * (kernel_size[axis] - 1) + 1
        total = torch.sym_max(reach - stride[axis] + -size % stride[axis], 0)
        less, more = total // 2, total - total // 2
        padding += [more, less] if extra_first else [less, more]
    return F.pad(x, padding, value=value)
'''

_SAMPLE_POSITIONS = '''
def sample_positions(x, axis, size, coordinates, step):
    """Where each of `size` new elements lies among the old ones along an axis."""
    old = x.shape[axis]
    index = torch.arange(size, device=x.device)
    if coordinates == "align_corners":
        return index * (old - 1) / torch.sym_max(size - 1, 1)
    if coordinates == "pytorch_half_pixel" and size == 1:
        return index * 0.0
    if step is None:
        step = old / size
    return index * step if coordinates == "asymmetric" else (index + 0.5) * step - 0.5
'''

_RESIZE_NEAREST = '''
def resize_nearest(x, axis, size, coordinates, rounding, step=None):
    """Resizes one axis by picking the nearest element."""
    positions = sample_positions(x, axis, size, coordinates, step)
    if rounding == "round_prefer_floor":
        positions = (positions - 0.5).ceil()
    elif rounding == "round_prefer_ceil":
        positions = (positions + 0.5).floor()
    elif rounding == "ceil":
        positions = positions.ceil()
    return x.index_select(axis, positions.long().clamp(0, x.shape[axis] - 1))
'''

_RESIZE_LINEAR = '''
def resize_linear(x, axis, size, coordinates, step=None):
    """Resizes one axis by interpolating between the two elements around each position."""
    positions = sample_positions(x, axis, size, coordinates, step).clamp(0, x.shape[axis] - 1)
    lower = positions.long()
    upper = (lower + 1).clamp(max=x.shape[axis] - 1)
    shape = [1] * x.dim()
    shape[axis] = -1
    weight = (positions - lower).to(x.dtype).reshape(shape)
    return torch.lerp(x.index_select(axis, lower), x.index_select(axis, upper), weight)
'''

_AVERAGE_POOL = '''
def average_pool(x, pool, padding, *window):
    """Averages over windows in which the padding does not count."""
    counted = F.pad(torch.ones_like(x[:1, :1]), padding)
    return pool(F.pad(x, padding), *window) / pool(counted, *window)
'''

_SUMS_BEFORE = '''
def sums_before(x, axis):
    """The sum of all elements before each one along an axis."""
    sums = x.cumsum(axis, dtype=x.dtype)
    first = x.narrow(axis, 0, torch.sym_min(x.shape[axis], 1))
    return torch.cat([torch.zeros_like(first), sums.narrow(axis, 0, x.shape[axis] - first.shape[axis])], dim=axis)
'''

_STRIDED = '''
def every(x, axis, start, stop, step):
    """x[start:stop:step] along one axis, where the step may be negative."""
    size = x.shape[axis]
    steps = range(size)[start:stop:step]
    return x.index_select(axis, torch.tensor(list(steps), dtype=torch.int64, device=x.device))
'''

_ONE_HOT = '''
def one_hot(indices, depth, off, on, axis):
    """`on` at each index and `off` elsewhere, along a new axis; an index out of range gives none."""
    classes = torch.arange(depth, device=indices.device)
    indices = torch.where(indices < 0, indices + depth, indices)
    return torch.where(indices.long().unsqueeze(-1) == classes, on, off).movedim(-1, axis)
'''

_REFLECT = '''
def pad_by_index(x, axis, before, after, mode):
    """Pads one axis with its own elements: mirrored at the border, or the border repeated."""
    size = x.shape[axis]
    positions = torch.arange(-before, size + after, device=x.device)
    if mode == "reflect":
        positions = (size - 1) - (positions.abs() % (2 * size - 2) - (size - 1)).abs() if size > 1 else positions * 0
    elif mode == "wrap":
        positions = positions % size
    return x.index_select(axis, positions.clamp(0, size - 1))
'''

_INDEXED_LAST = '''
def arg_last(x, dim, keepdim, find):
    """Index of the extreme element, the last of equal ones."""
    return x.shape[dim] - 1 - find(x.flip(dim), dim, keepdim)
'''

_GATHER_ND = '''
def gather_nd(x, indices, batch_dims):
    """Slices of x at index tuples, with leading axes in common."""
    lead = x.shape[:batch_dims]
    count = math.prod(lead)
    flat = x.reshape(count, *x.shape[batch_dims:])
    picks = indices.reshape(count, -1, indices.shape[-1]).long()
    rows = torch.arange(count, device=x.device).unsqueeze(1)
    found = flat[(rows, *picks.unbind(-1))]
    return found.reshape(*lead, *indices.shape[batch_dims:-1], *found.shape[2:])
'''

_TOP_K = '''
def top_k(x, k, dim, largest=True):
    """The k largest or smallest elements in order; of equal ones the first come first."""
    values, indices = torch.sort(x, dim=dim, descending=largest, stable=True)
    return values.narrow(dim, 0, k), indices.narrow(dim, 0, k)
'''

#: Name → definition.
DEFINITIONS = {
    "pad_same": _PAD_SAME,
    "sample_positions": _SAMPLE_POSITIONS,
    "resize_nearest": _RESIZE_NEAREST,
    "resize_linear": _RESIZE_LINEAR,
    "average_pool": _AVERAGE_POOL,
    "sums_before": _SUMS_BEFORE,
    "every": _STRIDED,
    "one_hot": _ONE_HOT,
    "pad_by_index": _REFLECT,
    "top_k": _TOP_K,
    "arg_last": _INDEXED_LAST,
    "gather_nd": _GATHER_ND,
}
