"""Convolution, pooling, normalization, resizing, and blocks moved between space and depth."""

from tests.interop.tensorflow_graphs import In, constant

IMAGE = In((2, 9, 7, 3))
BATCHES = In((None, 9, 7, 3), ((2, 9, 7, 3), (1, 9, 7, 3)))
ANY_SIZE = In((None, None, None, 3), ((2, 9, 7, 3), (1, 8, 8, 3), (3, 5, 12, 3)))
UNKNOWN = In(None, ((2, 9, 7, 3), (1, 6, 8, 3)))
FOUR = In((None, 4, 6, 8), ((2, 4, 6, 8), (1, 4, 6, 8)))
FOUR_ANY = In((None, None, None, 8), ((2, 4, 6, 8), (1, 2, 4, 8)))


def conv(*kernel, **options):
    settings = {"strides": [1, 1, 1, 1], "padding": "SAME"} | options
    return lambda tf, x: tf.raw_ops.Conv2D(input=x, filter=constant(tf, *kernel), **settings)


def depthwise(*kernel, **options):
    settings = {"strides": [1, 1, 1, 1], "padding": "SAME"} | options
    return lambda tf, x: tf.raw_ops.DepthwiseConv2dNative(input=x, filter=constant(tf, *kernel), **settings)


def transposed(kernel, stride, padding, sizes):
    def build(tf, x):
        weights = constant(tf, *kernel)
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes(tf, x), filter=weights, out_backprop=x, strides=[1, stride, stride, 1], padding=padding
        )

    return build


def computed_sizes(factor, channels):
    def sizes(tf, x):
        shape = tf.shape(x)
        return tf.stack([shape[0], shape[1] * factor, shape[2] * factor, channels])

    return sizes


def pool(op, kernel, stride, padding):
    def build(tf, x):
        settings = {"ksize": [1, *kernel, 1], "strides": [1, *stride, 1], "padding": padding}
        return getattr(tf.raw_ops, op)(**{"value" if op == "AvgPool" else "input": x}, **settings)

    return build


def batch_norm(op, **options):
    def build(tf, x):
        statistics = [constant(tf, 3, seed=seed, low=low) for seed, low in enumerate((0.5, -1, -1, 0.1))]
        scale, offset, mean, variance = statistics
        settings = {"epsilon": 0.01, "is_training": False} | options
        node = getattr(tf.raw_ops, op)(x=x, scale=scale, offset=offset, mean=mean, variance=variance, **settings)
        return node.y

    return build


def decomposed_batch_norm(tf, x):
    mean, variance = constant(tf, 3, seed=1), constant(tf, 3, seed=2, low=0.1)
    return tf.nn.batch_normalization(x, mean, variance, constant(tf, 3, seed=3), constant(tf, 3, seed=4), 0.001)


def fused_chain(tf, x):
    y = tf.nn.bias_add(conv(3, 3, 3, 4)(tf, x), constant(tf, 4))
    y = tf.nn.relu(y)
    return tf.nn.max_pool2d(y, 2, 2, "VALID")


def resize(op, size, **options):
    def build(tf, x):
        images = {"images": x, "size": size(tf, x) if callable(size) else tf.constant(size), **options}
        return getattr(tf.raw_ops, op)(**images)

    return build


def twice(tf, x):
    return tf.shape(x)[1:3] * 2


def space_to_batch(block, paddings):
    return lambda tf, x: tf.raw_ops.SpaceToBatchND(input=x, block_shape=block, paddings=paddings)


def batch_to_space(block, crops):
    return lambda tf, x: tf.raw_ops.BatchToSpaceND(input=x, block_shape=block, crops=crops)


def dilated(padding, rate, kernel):
    """The three operators that TensorFlow 1 makes of one dilated convolution."""

    def build(tf, x):
        extra = (kernel - 1) * rate if padding == "SAME" else 0
        before = [extra // 2] * 2
        size = [int(dim) for dim in x.shape[1:3]]
        after = [-(at + extra) % rate + extra - extra // 2 for at in size]
        crops = [[0, -(at + extra) % rate] for at in size]
        paddings = [[b, a] for b, a in zip(before, after, strict=True)]
        y = tf.raw_ops.SpaceToBatchND(input=x, block_shape=[rate, rate], paddings=paddings)
        y = conv(kernel, kernel, 3, 4, padding="VALID")(tf, y)
        return tf.raw_ops.BatchToSpaceND(input=y, block_shape=[rate, rate], crops=crops)

    return build


def dilated_at_any_size(tf, x):
    return tf.nn.atrous_conv2d(x, constant(tf, 3, 3, 3, 4), rate=2, padding="SAME")


CASES = {
    "Conv2D same": (conv(3, 3, 3, 4), BATCHES),
    "Conv2D same, even kernel": (conv(2, 4, 3, 4), BATCHES),
    "Conv2D same, stride 2": (conv(3, 3, 3, 4, strides=[1, 2, 2, 1]), BATCHES),
    "Conv2D same, strides 2 and 3": (conv(3, 3, 3, 4, strides=[1, 2, 3, 1]), BATCHES),
    "Conv2D same, stride beyond the kernel": (conv(1, 1, 3, 4, strides=[1, 2, 2, 1]), BATCHES),
    "Conv2D same, any size": (conv(3, 3, 3, 4), ANY_SIZE),
    "Conv2D same, stride 2, any size": (conv(3, 3, 3, 4, strides=[1, 2, 2, 1]), ANY_SIZE),
    "Conv2D same, even kernel, stride 2, any size": (conv(4, 2, 3, 4, strides=[1, 2, 2, 1]), ANY_SIZE),
    "Conv2D same, unknown rank": (conv(3, 3, 3, 4), UNKNOWN),
    "Conv2D valid": (conv(3, 2, 3, 4, padding="VALID"), BATCHES),
    "Conv2D valid, stride 2, any size": (conv(3, 3, 3, 4, padding="VALID", strides=[1, 2, 2, 1]), ANY_SIZE),
    "Conv2D explicit": (conv(3, 3, 3, 4, padding="EXPLICIT", explicit_paddings=[0, 0, 2, 1, 0, 3, 0, 0]), BATCHES),
    "Conv2D dilated": (conv(3, 3, 3, 4, dilations=[1, 2, 2, 1]), BATCHES),
    "Conv2D dilated, any size": (conv(3, 2, 3, 4, dilations=[1, 2, 3, 1]), ANY_SIZE),
    "Conv2D grouped": (conv(3, 3, 2, 4), In((2, 5, 5, 4))),
    "Conv2D computed kernel": (
        lambda tf, x, w: tf.nn.conv2d(x, w, 1, "SAME"),
        IMAGE,
        In((3, 3, 3, 4)),
    ),
    "Conv2D bias, relu, pool": (fused_chain, ANY_SIZE),
    "DepthwiseConv2dNative same": (depthwise(3, 3, 3, 1), BATCHES),
    "DepthwiseConv2dNative multiplier 2": (depthwise(3, 3, 3, 2), BATCHES),
    "DepthwiseConv2dNative stride 2, any size": (depthwise(3, 3, 3, 2, strides=[1, 2, 2, 1]), ANY_SIZE),
    "DepthwiseConv2dNative valid": (depthwise(2, 3, 3, 1, padding="VALID"), BATCHES),
    "DepthwiseConv2dNative dilated": (depthwise(3, 3, 3, 2, dilations=[1, 2, 2, 1]), IMAGE),
    "Conv2DBackpropInput same, stride 2": (
        transposed((3, 3, 5, 3), 2, "SAME", lambda tf, x: [2, 18, 14, 5]),
        IMAGE,
    ),
    "Conv2DBackpropInput same, odd sizes": (
        transposed((3, 3, 5, 3), 2, "SAME", lambda tf, x: [2, 17, 13, 5]),
        IMAGE,
    ),
    "Conv2DBackpropInput same, even kernel": (
        transposed((4, 4, 5, 3), 2, "SAME", lambda tf, x: [2, 18, 14, 5]),
        IMAGE,
    ),
    "Conv2DBackpropInput same, kernel below stride": (
        transposed((2, 2, 5, 3), 3, "SAME", lambda tf, x: [2, 27, 21, 5]),
        IMAGE,
    ),
    "Conv2DBackpropInput valid": (transposed((3, 3, 5, 3), 2, "VALID", lambda tf, x: [2, 19, 15, 5]), IMAGE),
    "Conv2DBackpropInput valid, larger": (transposed((3, 3, 5, 3), 2, "VALID", lambda tf, x: [2, 20, 16, 5]), IMAGE),
    "Conv2DBackpropInput stride 1": (transposed((3, 3, 5, 3), 1, "SAME", lambda tf, x: [2, 9, 7, 5]), IMAGE),
    "Conv2DBackpropInput computed batch": (
        transposed((9, 9, 1, 3), 3, "SAME", lambda tf, x: tf.stack([tf.shape(x)[0], 27, 21, 1])),
        BATCHES,
    ),
    "Conv2DBackpropInput computed sizes": (transposed((3, 3, 5, 3), 2, "SAME", computed_sizes(2, 5)), ANY_SIZE),
    "BiasAdd": (lambda tf, x: tf.nn.bias_add(x, constant(tf, 3)), BATCHES),
    "BiasAdd matrix": (lambda tf, x: tf.nn.bias_add(x, constant(tf, 3)), In((None, 3), ((4, 3), (1, 3)))),
    "BiasAdd channels first": (
        lambda tf, x: tf.raw_ops.BiasAdd(value=x, bias=constant(tf, 3), data_format="NCHW"),
        In((2, 3, 4, 5)),
    ),
    "MaxPool valid": (pool("MaxPool", (2, 2), (2, 2), "VALID"), BATCHES),
    "MaxPool same": (pool("MaxPool", (3, 3), (2, 2), "SAME"), BATCHES),
    "MaxPool same, stride 1, any size": (pool("MaxPool", (2, 2), (1, 1), "SAME"), ANY_SIZE),
    "MaxPool same, stride 2, any size": (pool("MaxPool", (3, 2), (2, 2), "SAME"), ANY_SIZE),
    "AvgPool valid": (pool("AvgPool", (3, 2), (2, 1), "VALID"), BATCHES),
    "AvgPool same": (pool("AvgPool", (3, 3), (2, 2), "SAME"), BATCHES),
    "AvgPool same, any size": (pool("AvgPool", (3, 3), (2, 2), "SAME"), ANY_SIZE),
    "FusedBatchNorm": (batch_norm("FusedBatchNorm"), BATCHES),
    "FusedBatchNormV2": (batch_norm("FusedBatchNormV2"), ANY_SIZE),
    "FusedBatchNormV3": (batch_norm("FusedBatchNormV3"), UNKNOWN),
    "batch norm in pieces": (decomposed_batch_norm, ANY_SIZE),
    "batch norm in pieces, matrix": (decomposed_batch_norm, In((None, 3), ((4, 3), (1, 3)))),
    "LRN": (lambda tf, x: tf.raw_ops.LRN(input=x, depth_radius=2, bias=1.5, alpha=0.3, beta=0.75), FOUR),
    "LRN defaults": (lambda tf, x: tf.raw_ops.LRN(input=x), FOUR),
    "ResizeBilinear": (resize("ResizeBilinear", [18, 21]), IMAGE),
    "ResizeBilinear smaller": (resize("ResizeBilinear", [4, 5]), IMAGE),
    "ResizeBilinear aligned": (resize("ResizeBilinear", [17, 5], align_corners=True), BATCHES),
    "ResizeBilinear half pixels": (resize("ResizeBilinear", [18, 5], half_pixel_centers=True), BATCHES),
    "ResizeBilinear computed size": (resize("ResizeBilinear", twice), ANY_SIZE),
    "ResizeBilinear integers": (resize("ResizeBilinear", [18, 5]), In((2, 9, 7, 3), dtype="int32", low=0, high=255)),
    "ResizeNearestNeighbor": (resize("ResizeNearestNeighbor", [18, 21]), IMAGE),
    "ResizeNearestNeighbor uneven": (resize("ResizeNearestNeighbor", [13, 5]), IMAGE),
    "ResizeNearestNeighbor aligned": (resize("ResizeNearestNeighbor", [17, 4], align_corners=True), BATCHES),
    "ResizeNearestNeighbor half pixels": (resize("ResizeNearestNeighbor", [18, 4], half_pixel_centers=True), BATCHES),
    "ResizeNearestNeighbor computed size": (resize("ResizeNearestNeighbor", twice), ANY_SIZE),
    "DepthToSpace": (lambda tf, x: tf.raw_ops.DepthToSpace(input=x, block_size=2), FOUR),
    "DepthToSpace any size": (lambda tf, x: tf.raw_ops.DepthToSpace(input=x, block_size=2), FOUR_ANY),
    "SpaceToDepth": (lambda tf, x: tf.raw_ops.SpaceToDepth(input=x, block_size=2), FOUR),
    "SpaceToDepth any size": (lambda tf, x: tf.raw_ops.SpaceToDepth(input=x, block_size=2), FOUR_ANY),
    "SpaceToBatchND": (space_to_batch([2, 3], [[0, 1], [1, 1]]), IMAGE),
    "SpaceToBatchND one dimension": (space_to_batch([3], [[2, 1]]), In((2, 9, 4))),
    "BatchToSpaceND": (batch_to_space([2, 3], [[0, 1], [1, 0]]), In((12, 3, 4, 2))),
    "BatchToSpaceND any size": (
        batch_to_space([2, 2], [[1, 0], [0, 1]]),
        In((None, None, None, 2), ((8, 3, 4, 2), (4, 2, 2, 2))),
    ),
    "dilated convolution in pieces, same": (dilated("SAME", 2, 3), IMAGE),
    "dilated convolution in pieces, valid": (dilated("VALID", 2, 3), IMAGE),
    "dilated convolution in pieces, rate 3": (dilated("SAME", 3, 3), BATCHES),
    "dilated convolution in pieces, any size": (dilated_at_any_size, ANY_SIZE),
}
