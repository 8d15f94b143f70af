"""Shapes, joining, cutting, indexing, choosing, filling and casting."""

from tests.interop.tensorflow_graphs import In, constant

CUBE = In((None, 3, 4), ((2, 3, 4), (5, 3, 4)))
FIXED = In((2, 3, 4))
ANY_SIZE = In((None, None, None), ((2, 3, 4), (5, 1, 2)))
UNKNOWN = In(None, ((2, 3, 4), (5, 1, 2)))
ROW = In((None,), ((6,), (9,)))
INTEGERS = In((2, 3, 4), dtype="int32", low=-9, high=9)
INDICES = In((None, 2), ((3, 2), (1, 2)), dtype="int32", low=0, high=3)


def strided(begin, end, strides=None, **masks):
    def build(tf, x):
        steps = [1] * len(begin) if strides is None else strides
        return tf.raw_ops.StridedSlice(input=x, begin=begin, end=end, strides=steps, **masks)

    return build


def cast(kind, **attributes):
    return lambda tf, x: tf.raw_ops.Cast(x=x, DstT=getattr(tf, kind), **attributes)


def pack(axis):
    return lambda tf, x, y: tf.raw_ops.Pack(values=[x, y], axis=axis)


def padded(value=None):
    if value is None:
        return lambda tf, x: tf.raw_ops.Pad(input=x, paddings=[[0, 1], [2, 0], [1, 3]])
    return lambda tf, x: tf.raw_ops.PadV2(
        input=x, paddings=[[0, 1], [2, 0], [1, 3]], constant_values=tf.constant(value, x.dtype)
    )


def mirrored(mode):
    return lambda tf, x: tf.raw_ops.MirrorPad(input=x, paddings=[[0, 0], [1, 2], [3, 0]], mode=mode)


def gather(axis, indices=None, **attributes):
    def build(tf, x, *given):
        where = tf.constant(indices) if indices is not None else given[0]
        return tf.raw_ops.GatherV2(params=x, indices=where, axis=axis, **attributes)

    return build


def one_hot(axis=-1, on=1.0, off=0.0, depth=4):
    return lambda tf, x: tf.raw_ops.OneHot(indices=x, depth=depth, on_value=on, off_value=off, axis=axis)


def flattened(tf, x):
    return tf.reshape(x, [tf.shape(x)[0], -1])


def flattened_by_product(tf, x):
    shape = tf.shape(x)
    return tf.reshape(x, tf.stack([shape[0], tf.reduce_prod(shape[1:])]))


def split_again(tf, x):
    return [part * 2 for part in tf.raw_ops.Split(axis=1, value=x, num_split=3)]


def from_its_own_length(tf, x):
    return tf.cast(tf.range(tf.shape(x)[0]), tf.float32) * 2 + x


def computed_slice(tf, x):
    n = tf.shape(x)[0]
    return tf.raw_ops.Slice(input=x, begin=tf.stack([n - 2, 0]), size=tf.stack([2, n - 1]))


def same_as_itself(tf, x):
    with tf.control_dependencies([tf.raw_ops.NoOp()]):
        y, z = tf.raw_ops.IdentityN(input=[x, x + 1])
    return [tf.identity(y), z]


def computed_crop(tf, x):
    n = tf.shape(x)[1]
    return x[:, n // 3 : -1, tf.newaxis]


def computed_tile(tf, x):
    return tf.tile(x, tf.stack([1, tf.shape(x)[0], 2]))


CASES = {
    "PlaceholderWithDefault": (
        lambda tf, x: x * tf.compat.v1.placeholder_with_default(tf.constant([2.0, 3.0]), (2,)),
        In((None, 2), ((3, 2), (1, 2))),
    ),
    "Identity": (same_as_itself, CUBE),
    "Const alone": (lambda tf, x: [x, tf.constant([[1, 2]], tf.int64)], CUBE),
    "Reshape": (lambda tf, x: tf.reshape(x, [4, 6]), FIXED),
    "Reshape one open": (lambda tf, x: tf.reshape(x, [-1, 2, 6]), CUBE),
    "Reshape computed": (flattened, ANY_SIZE),
    "Reshape by product": (flattened_by_product, CUBE),
    "Reshape to a scalar": (lambda tf, x: tf.reshape(x, []), In((1, 1))),
    "Reshape to nothing": (lambda tf, x: tf.reshape(x, [0, 3]), In((0, 4))),
    "Reshape int64 shape": (lambda tf, x: tf.reshape(x, tf.constant([3, -1], tf.int64)), FIXED),
    "Squeeze": (lambda tf, x: tf.raw_ops.Squeeze(input=x, axis=[1, -1]), In((None, 1, 3, 1), ((2, 1, 3, 1),))),
    "Squeeze all": (lambda tf, x: tf.raw_ops.Squeeze(input=x), In((1, 3, 1))),
    "ExpandDims": (lambda tf, x: tf.expand_dims(x, 1), CUBE),
    "ExpandDims negative": (lambda tf, x: tf.expand_dims(x, -2), CUBE),
    "Transpose": (lambda tf, x: tf.transpose(x, [2, 0, 1]), CUBE),
    "Transpose computed": (lambda tf, x: tf.transpose(x, tf.range(2, -1, -1)), CUBE),
    "Concat": (lambda tf, x, y: tf.raw_ops.Concat(concat_dim=1, values=[x, y]), FIXED, FIXED),
    "ConcatV2": (lambda tf, x, y: tf.concat([x, y, x], -1), CUBE, CUBE),
    "ConcatV2 integers": (lambda tf, x: tf.concat([x, tf.ones_like(x)], 0), INTEGERS),
    "Pack": (pack(0), CUBE, CUBE),
    "Pack last": (pack(-1), CUBE, CUBE),
    "Unpack": (lambda tf, x: tf.raw_ops.Unpack(value=x, num=3, axis=1), CUBE),
    "Unpack negative": (lambda tf, x: tf.raw_ops.Unpack(value=x, num=4, axis=-1), CUBE),
    "Split": (split_again, CUBE),
    "Split negative": (lambda tf, x: tf.raw_ops.Split(axis=-1, value=x, num_split=2), CUBE),
    "SplitV": (lambda tf, x: tf.raw_ops.SplitV(value=x, size_splits=[1, 3], axis=2, num_split=2), CUBE),
    "SplitV one open": (lambda tf, x: tf.raw_ops.SplitV(value=x, size_splits=[1, -1], axis=-1, num_split=2), CUBE),
    "Slice": (lambda tf, x: tf.raw_ops.Slice(input=x, begin=[0, 1, 0], size=[-1, 2, 3]), CUBE),
    "Slice computed": (computed_slice, In((None, None), ((4, 4), (6, 6)))),
    "StridedSlice": (strided([0, 1, 0], [2, 3, 4], [1, 1, 2]), CUBE),
    "StridedSlice begin and end masks": (strided([1, 1, 1], [9, 2, 3], begin_mask=0b100, end_mask=0b011), CUBE),
    "StridedSlice shrink": (strided([0, -1], [1, 0], shrink_axis_mask=0b11), CUBE),
    "StridedSlice shrink one in the middle": (
        strided([0, 1, 0], [0, 2, 0], begin_mask=0b101, end_mask=0b101, shrink_axis_mask=0b010),
        CUBE,
    ),
    "StridedSlice new axis": (strided([0, 0, 0], [2, 0, 2], begin_mask=1, end_mask=1, new_axis_mask=0b010), CUBE),
    "StridedSlice ellipsis": (strided([0, 1], [0, 3], ellipsis_mask=1), CUBE),
    "StridedSlice ellipsis, new axis, shrink": (
        strided([0, 0, 0, 2], [1, 0, 0, 3], shrink_axis_mask=0b1001, ellipsis_mask=0b0010, new_axis_mask=0b0100),
        CUBE,
    ),
    "StridedSlice backwards": (
        strided([0, 2, -1], [0, 0, 0], [1, -1, -2], begin_mask=0b101, end_mask=0b101),
        CUBE,
    ),
    "StridedSlice backwards to the end": (strided([0, 0], [0, 0], [1, -1], begin_mask=3, end_mask=3), CUBE),
    "StridedSlice beyond the ends": (strided([-9, 1], [99, -1]), CUBE),
    "StridedSlice to nothing": (strided([0, 2], [2, 1]), CUBE),
    "StridedSlice integers": (strided([0, 1], [2, 3]), INTEGERS),
    "StridedSlice truth": (strided([0, 1], [2, 3]), In((2, 3, 4), dtype="bool")),
    "StridedSlice computed": (computed_crop, ANY_SIZE),
    "StridedSlice of a shape": (lambda tf, x: tf.zeros(tf.shape(x)[:2]) + 1, ANY_SIZE),
    "StridedSlice unknown rank": (lambda tf, x: x[..., 0], UNKNOWN),
    "Tile": (lambda tf, x: tf.tile(x, [1, 2, 3]), CUBE),
    "Tile computed": (computed_tile, CUBE),
    "Pad": (padded(), CUBE),
    "Pad integers": (padded(), INTEGERS),
    "Pad computed": (lambda tf, x: tf.pad(x, [[0, tf.shape(x)[0]], [0, 0], [1, 0]]), CUBE),
    "PadV2": (padded(1.5), CUBE),
    "PadV2 integers": (padded(7), INTEGERS),
    "MirrorPad reflect": (mirrored("REFLECT"), CUBE),
    "MirrorPad symmetric": (mirrored("SYMMETRIC"), CUBE),
    "MirrorPad symmetric, all of it": (
        lambda tf, x: tf.raw_ops.MirrorPad(input=x, paddings=[[2, 2], [0, 0]], mode="SYMMETRIC"),
        In((2, 3)),
    ),
    "Shape": (lambda tf, x: tf.shape(x), ANY_SIZE),
    "Shape int64": (lambda tf, x: tf.shape(x, out_type=tf.int64), CUBE),
    "Shape unknown rank": (lambda tf, x: tf.shape(x), UNKNOWN),
    "Size": (lambda tf, x: tf.size(x) + 0, ANY_SIZE),
    "Size int64": (lambda tf, x: tf.raw_ops.Size(input=x, out_type=tf.int64), FIXED),
    "Rank": (lambda tf, x: tf.raw_ops.Rank(input=x) + 1, CUBE),
    "Rank unknown": (lambda tf, x: tf.raw_ops.Rank(input=x), UNKNOWN),
    "Fill": (lambda tf, x: tf.fill([2, 3], 1.5) + x, In((2, 3))),
    "Fill computed": (lambda tf, x: tf.fill(tf.shape(x), 3), ANY_SIZE),
    "Fill with an input": (lambda tf, x: tf.fill([2, 3], tf.reduce_sum(x)), CUBE),
    "Fill truth": (lambda tf, x: tf.fill(tf.shape(x), True), CUBE),
    "ZerosLike": (lambda tf, x: tf.raw_ops.ZerosLike(x=x), ANY_SIZE),
    "OnesLike integers": (lambda tf, x: tf.raw_ops.OnesLike(x=x), INTEGERS),
    "OnesLike truth": (lambda tf, x: tf.raw_ops.OnesLike(x=x), In((2, 3), dtype="bool")),
    "Range": (from_its_own_length, ROW),
    "Range floats": (lambda tf, x: x + tf.range(1.0, 4.0, 0.5), In((6,))),
    "Range downwards": (lambda tf, x: tf.range(tf.shape(x)[0], -2, -2), ROW),
    "Cast to int32": (cast("int32"), In((8,), values=[-2.7, -0.5, 0.5, 2.7, 1e9, -0.0, 3.0, -1e9])),
    "Cast to int64": (cast("int64"), CUBE),
    "Cast to uint8": (cast("uint8"), In((4, 5), low=0, high=255)),
    "Cast to truth": (cast("bool"), In((5,), values=[0.0, -0.0, 0.3, -2.0, 5.0])),
    "Cast integers to truth": (cast("bool"), INTEGERS),
    "Cast from truth": (cast("float32"), In((2, 3), dtype="bool")),
    "Cast to float16": (cast("float16"), CUBE),
    "Cast to float64": (cast("float64"), CUBE),
    "Cast from uint8": (cast("float32"), In((2, 3), dtype="uint8", low=0, high=255)),
    "Cast to itself": (cast("float32"), CUBE),
    "Gather": (lambda tf, x, i: tf.raw_ops.Gather(params=x, indices=i), In((5, 3), ((5, 3), (5, 3))), INDICES),
    "Gather embedding": (lambda tf, i: tf.gather(constant(tf, 7, 4), i), INDICES),
    "GatherV2 axis": (gather(1), In((None, 3, 4), ((2, 3, 4), (5, 3, 4))), INDICES),
    "GatherV2 negative axis": (gather(-1, [0, 3, 3]), CUBE),
    "GatherV2 scalar index": (gather(1, 2), CUBE),
    "GatherV2 batch dimensions": (
        gather(1, batch_dims=1),
        In((3, 5, 2)),
        In((3, 4), dtype="int32", low=0, high=5),
    ),
    "GatherV2 int64": (gather(0), In((5, 3)), In((4,), dtype="int64", low=0, high=5)),
    "GatherNd": (
        lambda tf, x, i: tf.raw_ops.GatherNd(params=x, indices=i),
        In((3, 3, 4), ((3, 3, 4), (3, 3, 4))),
        INDICES,
    ),
    "GatherNd whole rows": (lambda tf, x: tf.gather_nd(x, [[1], [0], [1]]), FIXED),
    "Select": (
        lambda tf, c, x, y: tf.raw_ops.Select(condition=c, x=x, y=y),
        In((2, 3), dtype="bool"),
        In((2, 3)),
        In((2, 3)),
    ),
    "Select by rows": (
        lambda tf, c, x, y: tf.raw_ops.Select(condition=c, x=x, y=y),
        In((4,), dtype="bool"),
        In((4, 3, 2)),
        In((4, 3, 2)),
    ),
    "Select by one": (
        lambda tf, c, x, y: tf.raw_ops.Select(condition=c, x=x, y=y),
        In((), dtype="bool", values=True),
        In((4, 3)),
        In((4, 3)),
    ),
    "SelectV2 broadcast": (
        lambda tf, c, x: tf.raw_ops.SelectV2(condition=c, t=x, e=tf.constant(-1.0)),
        In((3, 1), dtype="bool"),
        In((2, 1, 4)),
    ),
    "SelectV2 integers": (lambda tf, x: tf.where(x > 0, x, tf.zeros_like(x)), INTEGERS),
    "Where": (lambda tf, x: tf.raw_ops.Where(condition=x), In((None, 4), ((3, 4), (2, 4)), dtype="bool")),
    "Where floats": (lambda tf, x: tf.raw_ops.Where(condition=x), In((5,), values=[0, 1, -2, 0, 0.5])),
    "OneHot": (one_hot(), INDICES),
    "OneHot first axis": (one_hot(axis=0, on=5.0, off=-1.0), INDICES),
    "OneHot middle axis": (one_hot(axis=1), INDICES),
    "OneHot integers": (one_hot(on=1, off=0), INDICES),
    "OneHot int64": (one_hot(), In((5,), dtype="int64", low=0, high=4)),
    "OneHot out of range": (one_hot(), In((5,), dtype="int32", values=[-1, 0, 3, 4, 9])),
    "OneHot uint8": (one_hot(), In((5,), dtype="uint8", values=[1, 0, 3, 4, 9])),
    "TopKV2": (lambda tf, x: list(tf.raw_ops.TopKV2(input=x, k=3)), CUBE),
    "TopKV2 unsorted": (lambda tf, x: tf.sort(tf.raw_ops.TopKV2(input=x, k=2, sorted=False).values), CUBE),
    "TopKV2 computed": (lambda tf, x: list(tf.raw_ops.TopKV2(input=x, k=tf.shape(x)[0] // 2)), ROW),
    "TopKV2 integers": (
        lambda tf, x: tf.raw_ops.TopKV2(input=x, k=2).values,
        In((3, 5), dtype="int32", low=-9, high=9),
    ),
}
