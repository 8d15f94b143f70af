"""Activations, arithmetic, comparison, logic, reductions and products."""

import numpy as np
from tests.interop.tensorflow_graphs import In, constant

X = In((None, 5), ((4, 5), (1, 5)))
POSITIVE = In((None, 5), ((4, 5), (1, 5)), low=0.1, high=3)
HALVES = In((9,), values=[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -0.0, 2.4, -2.6])
INTEGERS = In((4, 5), dtype="int32", low=-7, high=8)
NO_ZERO = In((5,), dtype="int32", values=[-3, 2, -1, 5, 4])
TRUTH = In((4, 5), dtype="bool")
CUBE = In((None, 3, 4), ((2, 3, 4), (5, 3, 4)))
UNKNOWN = In(None, ((2, 3, 4), (5, 1, 2)))
INTEGER_CUBE = In((2, 3, 4), dtype="int32", low=-7, high=8)
TRUTH_CUBE = In((2, 3, 4), dtype="bool")


def unary(op, **attributes):
    def build(tf, x):
        parameters = {"Softmax": "logits", "LogSoftmax": "logits", "StopGradient": "input", "PreventGradient": "input"}
        features = ("Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Softplus", "Softsign")
        parameter = "features" if op in features else parameters.get(op, "x")
        return getattr(tf.raw_ops, op)(**{parameter: x}, **attributes)

    return build


def binary(op):
    return lambda tf, x, y: getattr(tf.raw_ops, op)(x=x, y=y)


def against(op, value, *, left=False):
    def build(tf, x):
        operands = (tf.constant(value, x.dtype), x) if left else (x, tf.constant(value, x.dtype))
        return getattr(tf.raw_ops, op)(x=operands[0], y=operands[1])

    return build


def reduced(op, axis, *, keep=False):
    return lambda tf, x: getattr(tf.raw_ops, op)(input=x, axis=axis, keep_dims=keep)


def reduced_over_the_rest(tf, x):
    return tf.reduce_sum(x, axis=tf.range(1, tf.rank(x)))


def arg(op, axis, kind="int64"):
    return lambda tf, x: getattr(tf.raw_ops, op)(input=x, dimension=axis, output_type=getattr(tf, kind))


def product(op="BatchMatMulV2", **attributes):
    return lambda tf, x, y: getattr(tf.raw_ops, op)(x=x, y=y, **attributes)


def matrix_product(**attributes):
    return lambda tf, x, y: tf.raw_ops.MatMul(a=x, b=y, **attributes)


def cumulated(axis, **attributes):
    return lambda tf, x: tf.raw_ops.Cumsum(x=x, axis=axis, **attributes)


def dropout(tf, x):
    """What tf.nn.dropout of TensorFlow 1 makes, at a keep probability of one."""
    keep = tf.compat.v1.placeholder_with_default(1.0, (), name="keep")
    noise = tf.floor(keep + tf.random.uniform(tf.shape(x), seed=1))
    return tf.raw_ops.RealDiv(x=x, y=keep) * noise


UNARY = {
    "Relu": X, "Relu6": In((4, 5), low=-9, high=9), "Elu": X, "Selu": X, "Sigmoid": X, "Tanh": X,
    "Softplus": In((4, 5), low=-30, high=30), "Softsign": X, "Softmax": X, "LogSoftmax": X, "Square": X,
    "Sqrt": POSITIVE, "Rsqrt": POSITIVE, "Exp": X, "Log": POSITIVE, "Neg": X, "Abs": X, "Sign": HALVES,
    "Floor": HALVES, "Ceil": HALVES, "Round": HALVES, "LogicalNot": TRUTH, "StopGradient": X, "PreventGradient": X,
}  # fmt: skip
BINARY = ("Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Maximum", "Minimum", "SquaredDifference")
DIVISIONS = ("FloorDiv", "FloorMod", "Div")
COMPARISONS = ("Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual")

CASES = {name: (unary(name), given) for name, given in UNARY.items()}
CASES |= {f"{name} integers": (unary(name), INTEGERS) for name in ("Square", "Neg", "Abs", "Sign", "Relu")}
CASES |= {f"{name} broadcast": (binary(name), X, In((None, 1, 5), ((2, 1, 5), (3, 1, 5)))) for name in BINARY}
CASES |= {f"{name} integers": (binary(name), INTEGERS, NO_ZERO) for name in (*BINARY[:4], *BINARY[6:])}
CASES |= {f"{name} signs": (binary(name), INTEGERS, NO_ZERO) for name in DIVISIONS}
CASES |= {f"{name} floats": (binary(name), In((4, 5), low=-9, high=9), In((5,), low=1, high=3)) for name in DIVISIONS}
CASES |= {f"{name} negative floats": (binary(name), In((4, 5)), In((5,), low=-3, high=-1)) for name in DIVISIONS[:2]}
CASES |= {f"{name} integers": (binary(name), INTEGERS, In((5,), dtype="int32", low=-3, high=3)) for name in COMPARISONS}
CASES |= {f"{name} floats": (against(name, 0.5), X) for name in COMPARISONS}
CASES |= {f"{name} truth": (binary(name), TRUTH, In((5,), dtype="bool")) for name in COMPARISONS[:2]}
CASES |= {name: (binary(name), TRUTH, In((1, 5), dtype="bool")) for name in ("LogicalAnd", "LogicalOr")}
for _op in ("Sum", "Mean", "Max", "Min", "Prod"):
    CASES |= {
        f"{_op} of one axis": (reduced(_op, [1]), CUBE),
        f"{_op} of a negative axis, kept": (reduced(_op, [-1], keep=True), CUBE),
        f"{_op} of a scalar axis": (reduced(_op, 0), CUBE),
        f"{_op} of all": (reduced(_op, [0, 1, 2]), CUBE),
        f"{_op} of two axes, unknown rank": (reduced(_op, [1, 2]), UNKNOWN),
        f"{_op} of integers": (reduced(_op, [0, 2], keep=True), INTEGER_CUBE),
        f"{_op} of no axis": (reduced(_op, np.zeros(0, np.int32)), CUBE),
    }
for _op in ("All", "Any"):
    CASES |= {
        f"{_op} of one axis": (reduced(_op, [1]), TRUTH_CUBE),
        f"{_op} of two axes, kept": (reduced(_op, [0, -1], keep=True), TRUTH_CUBE),
    }
for _op in ("ArgMax", "ArgMin"):
    CASES |= {
        f"{_op}": (arg(_op, 1), CUBE),
        f"{_op} negative axis, int32": (arg(_op, -1, "int32"), CUBE),
        f"{_op} of integers with ties": (arg(_op, 0), In((6, 4), dtype="int32", low=0, high=2)),
    }
CASES |= {
    "LeakyRelu": (unary("LeakyRelu"), X),
    "LeakyRelu alpha": (unary("LeakyRelu", alpha=0.1), X),
    "Softmax of four dimensions": (unary("Softmax"), In((2, 3, 4, 5))),
    "LogSoftmax of three dimensions": (unary("LogSoftmax"), CUBE),
    "Add constant on the left": (against("Sub", 1.5, left=True), X),
    "Add two shapes that are open": (binary("AddV2"), In((None, None), ((4, 5), (1, 3))), In((None,), ((5,), (3,)))),
    "Add float64": (against("AddV2", 1.5), In((4,), dtype="float64")),
    "Add int64": (against("AddV2", 3), In((4,), dtype="int64", low=-9, high=9)),
    "Mul uint8": (against("Mul", 3), In((4,), dtype="uint8", low=0, high=80)),
    "Div truncated int64": (against("Div", 4), In((6,), dtype="int64", low=-9, high=9)),
    "Pow": (binary("Pow"), POSITIVE, In((5,), ((5,), (5,)))),
    "Pow square": (against("Pow", 2.0), X),
    "Pow integers": (against("Pow", 3), INTEGERS),
    "AddN": (lambda tf, x, y, z: tf.raw_ops.AddN(inputs=[x, y, z]), *[In((3, 4))] * 3),
    "AddN of one": (lambda tf, x: tf.raw_ops.AddN(inputs=[x]), X),
    "Sum over computed axes": (reduced_over_the_rest, CUBE),
    "MatMul": (lambda tf, x: tf.matmul(x, constant(tf, 5, 3)), X),
    "MatMul transposed": (matrix_product(transpose_a=True, transpose_b=True), In((4, 3)), In((5, 4))),
    "MatMul transposed weights": (lambda tf, x: tf.matmul(x, constant(tf, 3, 5), transpose_b=True), X),
    "MatMul integers": (matrix_product(), In((3, 4), dtype="int32"), In((4, 2), dtype="int32")),
    "MatMul float64": (matrix_product(), In((3, 4), dtype="float64"), In((4, 2), dtype="float64")),
    "MatMul bias": (lambda tf, x: tf.nn.bias_add(tf.matmul(x, constant(tf, 5, 3)), constant(tf, 3)), X),
    "MatMul added vector": (lambda tf, x: tf.nn.relu(tf.matmul(x, constant(tf, 5, 3)) + constant(tf, 3)), X),
    "BatchMatMul": (product("BatchMatMul"), CUBE, In((None, 4, 5), ((2, 4, 5), (5, 4, 5)))),
    "BatchMatMul adjoint": (product("BatchMatMul", adj_x=True, adj_y=True), In((2, 4, 3)), In((2, 5, 4))),
    "BatchMatMulV2 broadcast": (product(), In((2, 1, 3, 4)), In((6, 4, 5))),
    "BatchMatMulV2 adjoint": (product(adj_y=True), CUBE, In((None, 6, 4), ((2, 6, 4), (5, 6, 4)))),
    "Cumsum": (cumulated(1), CUBE),
    "Cumsum exclusive": (cumulated(-1, exclusive=True), CUBE),
    "Cumsum reverse": (cumulated(0, reverse=True), CUBE),
    "Cumsum of integers, both": (cumulated(1, exclusive=True, reverse=True), INTEGER_CUBE),
    "dropout": (dropout, X),
}  # fmt: skip
