"""What TensorFlow's operators on images do, written out in numpy. Images have their channels last."""

import numpy as np


def same_padding(size, extent, stride):
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def padded(x, kernel, strides, dilations, padding, fill=0.0):
    """Images with the border that a window of that kernel needs."""
    if padding == "VALID":
        return x
    if padding != "SAME":
        return np.pad(x, padding, constant_values=fill)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pairs = [same_padding(x.shape[1 + axis], extents[axis], strides[axis]) for axis in range(2)]
    return np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=fill)


def patches(x, kernel, strides=(1, 1), dilations=(1, 1), padding="VALID", fill=0.0):
    """What each window sees: [batch, rows, columns, kernel rows, kernel columns, channels]."""
    x = padded(x, kernel, strides, dilations, padding, fill)
    sizes = [(x.shape[1 + a] - (kernel[a] - 1) * dilations[a] - 1) // strides[a] + 1 for a in range(2)]
    seen = np.empty((x.shape[0], *sizes, *kernel, x.shape[3]), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilations[0], i * dilations[0] + (sizes[0] - 1) * strides[0] + 1, strides[0])
            columns = slice(j * dilations[1], j * dilations[1] + (sizes[1] - 1) * strides[1] + 1, strides[1])
            seen[:, :, :, i, j] = x[:, rows, columns]
    return seen


def conv2d(x, w, **how):
    """A convolution; in groups if the kernel has fewer channels than the images."""
    groups = x.shape[3] // w.shape[2]
    parts = zip(np.split(x, groups, 3), np.split(w, groups, 3), strict=True)
    return np.concatenate([np.einsum("nhwijc,ijco->nhwo", patches(a, w.shape[:2], **how), b) for a, b in parts], 3)


def depthwise_conv2d(x, w, **how):
    y = np.einsum("nhwijc,ijcm->nhwcm", patches(x, w.shape[:2], **how), w)
    return y.reshape(*y.shape[:3], -1)


def conv2d_transpose(y, w, size, strides, padding):
    """What conv2d's gradient gives its input of that size: every element of y adds the kernel to where it came from."""
    kernel = w.shape[:2]
    before = [same_padding(size[a], kernel[a], strides[a])[0] if padding == "SAME" else 0 for a in range(2)]
    whole = [max((y.shape[1 + a] - 1) * strides[a] + kernel[a], before[a] + size[a]) for a in range(2)]
    x = np.zeros((y.shape[0], *whole, w.shape[2]), y.dtype)
    for row in range(y.shape[1]):
        for column in range(y.shape[2]):
            top, left = row * strides[0], column * strides[1]
            x[:, top : top + kernel[0], left : left + kernel[1]] += np.einsum("no,ijco->nijc", y[:, row, column], w)
    return x[:, before[0] : before[0] + size[0], before[1] : before[1] + size[1]]


def resized(x, size, place, *, is_nearest):
    """Resize along each spatial axis; `place` is align_corners, half_pixel or asymmetric."""
    for axis in (1, 2):
        old, new = x.shape[axis], size[axis - 1]
        scale = (old - 1) / (new - 1) if place == "align_corners" and new > 1 else old / new
        index = np.arange(new)
        if is_nearest:
            at = (index + 0.5) * scale if place == "half_pixel" else index * scale
            whole = np.floor(at + 0.5) if place == "align_corners" else np.floor(at + 1e-6)
            x = np.take(x, np.clip(whole, 0, old - 1).astype(int), axis)
            continue
        at = (index + 0.5) * scale - 0.5 if place == "half_pixel" else index * scale
        at = np.clip(at, 0, old - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        high = np.minimum(low + 1, old - 1)
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x
