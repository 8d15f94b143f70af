"""Several operators in a row: what a change of layout, a fusion or a folded constant could break between them."""

import numpy as np
from tests.interop.tensorflow_graphs import In, constant

IMAGE = In((None, 8, 6, 3), ((2, 8, 6, 3), (1, 8, 6, 3)))
ANY_SIZE = In((None, None, None, 3), ((2, 8, 6, 3), (1, 5, 7, 3)))
FIRST = In((None, 3, 8, 6), ((2, 3, 8, 6), (1, 3, 8, 6)))
ROWS = In((None, 12), ((2, 12), (5, 12)))


def conv(tf, x, filters=4, kernel=3, stride=1, padding="SAME", seed=0):
    return tf.nn.conv2d(x, constant(tf, kernel, kernel, int(x.shape[-1]), filters, seed=seed), stride, padding)


def after(use):
    """A convolution, then what is to be tried."""
    return lambda tf, x: use(tf, conv(tf, x))


def between(use, filters=4):
    """What is to be tried between two convolutions."""
    return lambda tf, x: conv(tf, use(tf, conv(tf, x, filters)), 2, seed=1)


def normalized(tf, x):
    size = int(x.shape[-1])
    statistics = [constant(tf, size, seed=seed, low=low) for seed, low in enumerate((0.5, -1, -1, 0.1))]
    return tf.compat.v1.nn.fused_batch_norm(x, *statistics, is_training=False)[0]


def residual(tf, x):
    y = conv(tf, x, 4)
    for seed in range(2):
        y = tf.nn.relu(normalized(tf, conv(tf, y, 4, seed=seed)) + y)
    return tf.reduce_mean(y, [1, 2])


def inception(tf, x):
    branches = [conv(tf, x, 2, 1), conv(tf, x, 3, 3, seed=1), tf.nn.avg_pool2d(x, 3, 1, "SAME")]
    return conv(tf, tf.concat(branches, 3), 2, 1, seed=2)


def squeeze_and_excite(tf, x):
    y = conv(tf, x, 4)
    gate = tf.reduce_mean(y, [1, 2], keepdims=True)
    return y * tf.nn.sigmoid(conv(tf, gate, 4, 1, seed=1))


def squeeze_and_excite_by_rows(tf, x):
    y = conv(tf, x, 4)
    gate = tf.nn.sigmoid(tf.matmul(tf.reduce_mean(y, [1, 2]), constant(tf, 4, 4)))
    return y * gate[:, tf.newaxis, tf.newaxis, :]


def separable(tf, x):
    y = tf.nn.depthwise_conv2d(x, constant(tf, 3, 3, 3, 2), [1, 1, 1, 1], "SAME")
    return tf.nn.relu6(normalized(tf, conv(tf, tf.nn.relu6(normalized(tf, y)), 4, 1)))


def shuffled(tf, x):
    y = conv(tf, x, 4)
    shape = tf.shape(y)
    y = tf.reshape(y, tf.stack([shape[0], shape[1], shape[2], 2, 2]))
    return conv(tf, tf.reshape(tf.transpose(y, [0, 1, 2, 4, 3]), tf.concat([shape[:3], [4]], 0)), 2, seed=1)


def unet(tf, x):
    down = tf.nn.relu(conv(tf, x, 4))
    inner = tf.nn.relu(conv(tf, tf.nn.max_pool2d(down, 2, 2, "SAME"), 6, seed=1))
    up = tf.image.resize(inner, tf.shape(down)[1:3], method="nearest")
    return tf.argmax(conv(tf, tf.concat([up, down], -1), 3, seed=2), axis=-1)


def channels_first_by_hand(tf, x):
    y = conv(tf, tf.transpose(x, [0, 2, 3, 1]), 4)
    return tf.transpose(tf.nn.relu(y), [0, 3, 1, 2])


def flattened_from_channels_first(tf, x):
    y = tf.transpose(conv(tf, tf.transpose(x, [0, 2, 3, 1]), 4), [0, 3, 1, 2])
    return tf.matmul(tf.reshape(y, [-1, 192]), constant(tf, 192, 2))


def flattened(tf, y):
    return tf.matmul(tf.reshape(y, [-1, 192]), constant(tf, 192, 3)) + constant(tf, 3)


def two_heads(tf, x):
    y = tf.nn.relu(conv(tf, x, 4))
    return [y, tf.nn.softmax(flattened(tf, y)), tf.reduce_max(y, [1, 2])]


def normalized_by_moments(tf, x):
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-3) * constant(tf, 4) + constant(tf, 4, seed=1)


def attention(tf, x):
    y = tf.reshape(x, [-1, 3, 4])
    query, key, value = (tf.matmul(y, tf.tile(constant(tf, 1, 4, 4, seed=s), [tf.shape(y)[0], 1, 1])) for s in range(3))
    return tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True) / 2.0), value)


def gelu(tf, x):
    return 0.5 * x * (1 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3))))


def same_weights_twice(tf, x):
    shared = constant(tf, 12, 12)
    return tf.matmul(tf.nn.relu(tf.matmul(x, shared)), shared, transpose_b=True)


def padded_by_hand(tf, x):
    return conv(tf, tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]), 4, stride=2, padding="VALID")


def reflected(tf, x):
    return conv(tf, tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"), 4, padding="VALID")


CASES = {
    "chain: residual": (residual, ANY_SIZE),
    "chain: inception": (inception, ANY_SIZE),
    "chain: squeeze and excite": (squeeze_and_excite, ANY_SIZE),
    "chain: squeeze and excite by rows": (squeeze_and_excite_by_rows, ANY_SIZE),
    "chain: separable": (separable, ANY_SIZE),
    "chain: shuffled channels": (shuffled, ANY_SIZE),
    "chain: unet": (unet, ANY_SIZE),
    "chain: channels first by hand": (channels_first_by_hand, FIRST),
    "chain: flattened from channels first": (flattened_from_channels_first, FIRST),
    "chain: two heads": (two_heads, IMAGE),
    "chain: padded by hand": (padded_by_hand, IMAGE),
    "chain: reflected": (reflected, ANY_SIZE),
    "chain: attention": (attention, ROWS),
    "chain: gelu": (gelu, ROWS),
    "chain: the same weights twice": (same_weights_twice, ROWS),
    "chain: crelu": (between(lambda tf, y: tf.nn.crelu(y)), ANY_SIZE),
    "chain: prelu": (after(lambda tf, y: tf.maximum(y, 0) + constant(tf, 4) * tf.minimum(y, 0)), ANY_SIZE),
    "chain: prelu by abs": (after(lambda tf, y: tf.nn.relu(y) + constant(tf, 4) * (y - abs(y)) * 0.5), IMAGE),
    "chain: hard swish": (after(lambda tf, y: y * tf.nn.relu6(y + 3) / 6), ANY_SIZE),
    "chain: conv, moments": (after(normalized_by_moments), ANY_SIZE),
    "chain: conv, flatten, dense": (after(flattened), IMAGE),
    "chain: conv, image to rows": (after(lambda tf, y: tf.reshape(y, [-1, 48, 4])), IMAGE),
    "chain: conv, rows and back": (between(lambda tf, y: tf.reshape(tf.reshape(y, [-1, 4]), [-1, 8, 6, 4])), IMAGE),
    "chain: conv, columns to channels": (after(lambda tf, y: tf.reshape(y, [-1, 8, 24])), IMAGE),
    "chain: conv, softmax": (after(lambda tf, y: tf.nn.softmax(y)), ANY_SIZE),
    "chain: conv, softmax over rows": (after(lambda tf, y: tf.nn.softmax(y, axis=1)), ANY_SIZE),
    "chain: conv, mean over channels": (after(lambda tf, y: tf.reduce_mean(y, -1)), ANY_SIZE),
    "chain: conv, maximum over rows, kept": (between(lambda tf, y: tf.reduce_max(y, 1, keepdims=True)), ANY_SIZE),
    "chain: conv, sum of all": (after(lambda tf, y: tf.reduce_sum(y)), ANY_SIZE),
    "chain: conv, argmax": (after(lambda tf, y: tf.argmax(y, 3)), ANY_SIZE),
    "chain: conv, squeeze": (
        lambda tf, x: tf.squeeze(tf.reduce_mean(conv(tf, x), [1, 2], keepdims=True), [1, 2]),
        IMAGE,
    ),
    "chain: conv, expand": (after(lambda tf, y: tf.expand_dims(y, 1) + constant(tf, 2, 1, 1, 4)), IMAGE),
    "chain: conv, split": (between(lambda tf, y: tf.split(y, 2, 3)[1]), ANY_SIZE),
    "chain: conv, unstack": (after(lambda tf, y: tf.unstack(y, axis=3)[2]), IMAGE),
    "chain: conv, stack": (after(lambda tf, y: tf.stack([y, -y], 3)), IMAGE),
    "chain: conv, every other pixel": (between(lambda tf, y: y[:, ::2, 1::2]), IMAGE),
    "chain: conv, mirrored": (between(lambda tf, y: y[:, ::-1, :, ::-1]), IMAGE),
    "chain: conv, one channel": (after(lambda tf, y: y[..., 1]), ANY_SIZE),
    "chain: conv, crop": (between(lambda tf, y: tf.slice(y, [0, 1, 2, 0], [-1, 4, 3, 3])), IMAGE),
    "chain: conv, gather channels": (between(lambda tf, y: tf.gather(y, [3, 0, 0], axis=3)), ANY_SIZE),
    "chain: conv, cumsum": (after(lambda tf, y: tf.cumsum(y, 3)), ANY_SIZE),
    "chain: conv, tile": (between(lambda tf, y: tf.tile(y, [1, 1, 2, 2])), IMAGE),
    "chain: conv, pad channels": (between(lambda tf, y: tf.pad(y, [[0, 0], [0, 1], [0, 0], [2, 1]])), ANY_SIZE),
    "chain: conv, times an image": (between(lambda tf, y: y * constant(tf, 8, 6, 1)), IMAGE),
    "chain: conv, times a row": (after(lambda tf, y: y * constant(tf, 6, 4)), IMAGE),
    "chain: conv, minus the input": (lambda tf, x: x - conv(tf, x, 3), ANY_SIZE),
    "chain: conv, compared": (after(lambda tf, y: tf.where(y > 0, y, tf.exp(y) - 1)), ANY_SIZE),
    "chain: conv, cast": (after(lambda tf, y: tf.cast(y * 10, tf.int32)), ANY_SIZE),
    "chain: conv, shape": (after(lambda tf, y: [tf.shape(y), tf.zeros_like(y)]), ANY_SIZE),
    "chain: conv, depth to space": (between(lambda tf, y: tf.nn.depth_to_space(y, 2)), ANY_SIZE),
    "chain: conv, space to depth": (between(lambda tf, y: tf.nn.space_to_depth(y, 2)), IMAGE),
    "chain: conv, lrn": (between(lambda tf, y: tf.nn.lrn(y, 1, 1.0, 0.5, 0.5)), ANY_SIZE),
    "chain: conv, bilinear": (between(lambda tf, y: tf.compat.v1.image.resize_bilinear(y, [5, 9])), ANY_SIZE),
    "chain: conv, transpose of rows and columns": (between(lambda tf, y: tf.transpose(y, [0, 2, 1, 3])), ANY_SIZE),
    "chain: conv, transpose of everything": (after(lambda tf, y: tf.transpose(y)), ANY_SIZE),
    "chain: conv, top channels": (after(lambda tf, y: list(tf.nn.top_k(y, 2))), ANY_SIZE),
    "chain: conv, product of pixels": (after(lambda tf, y: tf.matmul(y, y, transpose_b=True)), ANY_SIZE),
    "chain: conv, dense on channels": (
        after(lambda tf, y: tf.reshape(tf.reshape(y, [-1, 4]) @ constant(tf, 4, 2), [-1, 8, 6, 2])),
        IMAGE,
    ),
    "chain: conv, scaled and shifted": (after(lambda tf, y: (y * constant(tf, 4) + 0.5) / 2.0), ANY_SIZE),
    "chain: conv, batch norm without bias": (after(normalized), ANY_SIZE),
    "chain: conv, bias, batch norm": (after(lambda tf, y: normalized(tf, tf.nn.bias_add(y, constant(tf, 4)))), IMAGE),
    "chain: batch norm first": (lambda tf, x: conv(tf, tf.nn.relu(normalized(tf, x))), ANY_SIZE),
    "chain: dense, batch norm": (
        lambda tf, x: tf.nn.batch_normalization(
            tf.matmul(x, constant(tf, 12, 4)), *[constant(tf, 4, low=0.1, seed=s) for s in range(4)], 1e-3
        ),
        ROWS,
    ),
    "chain: dense, two branches": (
        lambda tf, x: tf.concat([tf.nn.tanh(x @ constant(tf, 12, 4)), tf.nn.sigmoid(x @ constant(tf, 12, 4))], 1),
        ROWS,
    ),
    "chain: rows to images": (lambda tf, x: conv(tf, tf.reshape(x, [-1, 2, 2, 3])), ROWS),
    "chain: constants folded": (
        lambda tf, x: x * tf.reduce_sum(tf.range(4.0)) + tf.cast(tf.size(tf.zeros((2, 3))), tf.float32),
        ROWS,
    ),
}
