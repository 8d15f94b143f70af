"""Training graphs that TensorFlow builds, trains and saves; and TensorFlow as the judge of what came back.

    python tensorflow_nets.py save FOLDER     a folder for each net: model.ckpt.*, net.json, fed.npz, answers.npz
    python tensorflow_nets.py judge FOLDER    runs each folder's frozen.pb, and the graph with the weights of back.ckpt

Runs in TensorFlow 1.15 as in 2, and without panmodel.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass

import numpy as np

IMAGES = np.random.default_rng(0).uniform(0, 1, (5, 12, 10, 1)).astype(np.float32)
ROWS = np.random.default_rng(1).uniform(-1, 1, (6, 8)).astype(np.float32)


@dataclass
class Net:
    """A training graph that was saved.

    Attributes:
        inputs, outputs: Tensors that a user would name.
        fed: What is fed to TensorFlow: besides the inputs, what only training needs.
        shown: What has to be found when nothing is named; None where only a person can tell.
    """

    inputs: list
    outputs: list
    fed: dict
    shown: object = None


def weights(v1, name, shape, *, resource=False, **options):
    initializer = v1.truncated_normal_initializer(stddev=0.4, seed=len(name))
    return v1.get_variable(name, shape, initializer=initializer, use_resource=resource, **options)


def dense(tf, x, units, name, *, resource=False, **options):
    v1 = tf.compat.v1
    with v1.variable_scope(name):
        kernel = weights(v1, "kernel", (int(x.shape[-1]), units), resource=resource, **options)
        return v1.nn.bias_add(tf.matmul(x, kernel), weights(v1, "bias", (units,), resource=resource))


def batch_norm(tf, x, *, training, fused, resource):
    """Moving averages when it is used; the batch's own statistics, and an update, when it is trained."""
    v1, size = tf.compat.v1, (int(x.shape[-1]),)
    starts = {"gamma": (0.5, 1.5), "beta": (-1, 1), "moving_mean": (-1, 1), "moving_variance": (0.5, 2)}
    gamma, beta, mean, variance = (
        v1.get_variable(
            name,
            size,
            initializer=v1.random_uniform_initializer(*between, seed=len(name)),
            trainable=name in ("gamma", "beta"),
            use_resource=resource,
        )
        for name, between in starts.items()
    )
    if not training:
        if fused:
            return v1.nn.fused_batch_norm(x, gamma, beta, mean, variance, is_training=False)[0]
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)
    batch_mean, batch_variance = tf.nn.moments(x, list(range(len(x.shape) - 1)))
    for average, value in ((mean, batch_mean), (variance, batch_variance)):
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, v1.assign_sub(average, (average - value) * 0.5))
    return tf.nn.batch_normalization(x, batch_mean, batch_variance, beta, gamma, 1e-3)


def body(tf, x, keep, *, training=False, fused=True, resource=False):
    """Two convolutions with batch norm, and two dense layers with dropout between them."""
    v1 = tf.compat.v1
    for name, filters, stride in (("conv1", 6, 1), ("conv2", 8, 2)):
        with v1.variable_scope(name):
            kernel = weights(v1, "kernel", (3, 3, int(x.shape[-1]), filters), resource=resource)
            x = tf.nn.conv2d(x, kernel, stride, "SAME")
            x = tf.nn.relu(batch_norm(tf, x, training=training, fused=fused, resource=resource))
            x = tf.nn.max_pool2d(x, 2, 2, "SAME")
    x = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
    x = v1.nn.dropout(tf.nn.relu(dense(tf, x, 16, "fc1", resource=resource)), keep_prob=keep)
    return tf.identity(dense(tf, x, 4, "fc2", resource=resource), name="logits")


def train(tf, logits, labels, optimizer):
    """Loss with a penalty, decay, metrics, summaries, and the step."""
    v1 = tf.compat.v1
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    loss += 1e-4 * tf.add_n([tf.nn.l2_loss(v) for v in v1.trainable_variables()])
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float32), name="accuracy")
    v1.summary.scalar("loss", loss)
    v1.summary.scalar("accuracy", accuracy)
    for variable in v1.trainable_variables():
        v1.summary.histogram(variable.op.name, variable)
    v1.summary.merge_all()
    step = v1.train.get_or_create_global_step()
    rate = v1.train.exponential_decay(0.02, step, 10, 0.9)
    chosen = v1.train.AdamOptimizer(rate) if optimizer == "adam" else v1.train.MomentumOptimizer(rate, 0.9)
    with tf.control_dependencies(v1.get_collection(v1.GraphKeys.UPDATE_OPS)):
        return chosen.minimize(loss, global_step=step, name="train")


def one_graph_for_both(optimizer, *, fused, resource):
    """Everything on placeholders, with the probability to keep a unit among them."""

    def build(tf):
        v1 = tf.compat.v1
        x = v1.placeholder(tf.float32, (None, 12, 10, 1), name="x")
        labels = v1.placeholder(tf.int64, (None,), name="labels")
        keep = v1.placeholder(tf.float32, (), name="keep_prob")
        logits = body(tf, x, keep, fused=fused, resource=resource)
        tf.nn.softmax(logits, name="probabilities")
        step = train(tf, logits, labels, optimizer)
        training = {"x:0": IMAGES, "labels:0": np.arange(5) % 4, "keep_prob:0": 0.5}
        used = {"x:0": IMAGES, "keep_prob:0": 1.0}
        return step, training, Net(["x:0"], ["logits:0", "probabilities:0"], used, ["probabilities:0"])

    return build


def keep_by_default(tf):
    """A placeholder with a default, which is what is used."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, (None, 12, 10, 1), name="x")
    keep = v1.placeholder_with_default(1.0, (), name="keep_prob")
    logits = body(tf, x, keep)
    tf.nn.softmax(logits, name="probabilities")
    step = train(tf, logits, v1.placeholder(tf.int64, (None,), name="labels"), "momentum")
    training = {"x:0": IMAGES, "labels:0": np.arange(5) % 4, "keep_prob:0": 0.5}
    return step, training, Net(["x:0"], ["probabilities:0"], {"x:0": IMAGES}, ["probabilities:0"])


def a_branch_for_each(tf):
    """One branch trains with the statistics of the batch; the other shares its variables."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, (None, 12, 10, 1), name="x")
    labels = v1.placeholder(tf.int64, (None,), name="labels")
    with v1.variable_scope("net"):
        logits = body(tf, x, 0.7, training=True)
    step = train(tf, logits, labels, "adam")
    with v1.name_scope("use"), v1.variable_scope("net", reuse=True):
        used = tf.nn.softmax(body(tf, x, 1.0), name="probabilities")
    training = {"x:0": IMAGES, "labels:0": np.arange(5) % 4}
    return step, training, Net(["x:0"], [used.name], {"x:0": IMAGES})


def queues(tf):
    """Rows from a pipeline of queues, which is cut off where the batches come out."""
    v1 = tf.compat.v1
    row, label = v1.train.slice_input_producer([tf.constant(ROWS), tf.constant(np.arange(6) % 3)], seed=1)
    rows, labels = v1.train.batch([row, label], 4, num_threads=1, capacity=32, name="batch")
    hidden = tf.nn.tanh(dense(tf, rows, 10, "hidden"))
    logits = tf.identity(dense(tf, hidden, 3, "out"), name="logits")
    step = train(tf, logits, tf.cast(labels, tf.int64), "momentum")
    tf.nn.softmax(logits, name="probabilities")
    fed = {"batch:0": ROWS[:4]}
    return step, {**fed, "batch:1": np.arange(4) % 3}, Net(["batch:0"], ["probabilities:0"], fed, ["probabilities:0"])


def slices(tf):
    """Variables in slices, an embedding among them."""
    v1 = tf.compat.v1
    ids = v1.placeholder(tf.int64, (None, 3), name="ids")
    labels = v1.placeholder(tf.int64, (None,), name="labels")
    table = weights(v1, "embedding", (11, 6), partitioner=v1.fixed_size_partitioner(3))
    x = tf.reshape(tf.gather(tf.convert_to_tensor(table), ids), [-1, 18])
    logits = tf.identity(dense(tf, x, 3, "out", partitioner=v1.fixed_size_partitioner(2, axis=1)), name="logits")
    step = train(tf, logits, labels, "momentum")
    fed = {"ids:0": np.arange(12).reshape(4, 3) % 11}
    return step, {**fed, "labels:0": np.arange(4) % 3}, Net(["ids:0"], ["logits:0"], fed, ["logits:0"])


def decoder(tf):
    """An autoencoder: down by strides, up by transposed convolutions at the size of its input."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, (None, 12, 10, 1), name="x")
    down = tf.nn.elu(tf.nn.conv2d(x, weights(v1, "down", (4, 4, 1, 6)), 2, "SAME") + weights(v1, "bias", (6,)))
    size = tf.stack([tf.shape(x)[0], 12, 10, 1])
    up = tf.nn.conv2d_transpose(down, weights(v1, "up", (4, 4, 1, 6)), size, 2, "SAME")
    tf.nn.sigmoid(up, name="image")
    loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=up))
    step = v1.train.AdamOptimizer(0.01).minimize(loss)
    return step, {"x:0": IMAGES}, Net(["x:0"], ["image:0"], {"x:0": IMAGES}, ["image:0"])


NETS = {
    "momentum, fused, plain variables": one_graph_for_both("momentum", fused=True, resource=False),
    "adam, in pieces, plain variables": one_graph_for_both("adam", fused=False, resource=False),
    "adam, fused, resource variables": one_graph_for_both("adam", fused=True, resource=True),
    "keep probability by default": keep_by_default,
    "a branch for each": a_branch_for_each,
    "queues": queues,
    "slices": slices,
    "decoder": decoder,
}


def save(tf, build, folder):
    """Train a few steps, save, and keep what TensorFlow computes."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(0)
        step, training, net = build(tf)
        saver = v1.train.Saver(max_to_keep=2)
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        for _ in range(3):
            session.run(step, training)
        saver.save(session, os.path.join(folder, "model.ckpt"))
        names = list(dict.fromkeys(net.outputs + (net.shown or [])))
        write(folder, "answers", run(session, names, net.fed))
    write(folder, "fed", net.fed)
    with open(os.path.join(folder, "net.json"), "w") as file:
        json.dump({key: value for key, value in asdict(net).items() if key != "fed"}, file)


def judge(tf, folder):
    """Run what panmodel wrote: the frozen graph, and the weights that went somewhere and came back."""
    v1 = tf.compat.v1
    with open(os.path.join(folder, "net.json")) as file:
        outputs = json.load(file)["outputs"]
    fed = read(folder, "fed")
    with v1.Graph().as_default(), v1.Session() as session:
        with open(os.path.join(folder, "frozen.pb"), "rb") as file:
            message = v1.GraphDef.FromString(file.read())
        v1.import_graph_def(message, name="")
        nodes = {node.name for node in message.node}
        there = {name: value for name, value in fed.items() if name.split(":")[0] in nodes}
        write(folder, "frozen", run(session, outputs, there))
    with v1.Graph().as_default(), v1.Session() as session:
        saver = v1.train.import_meta_graph(os.path.join(folder, "model.ckpt.meta"))
        saver.restore(session, os.path.join(folder, "back.ckpt"))
        write(folder, "back", run(session, outputs, fed))


def run(session, names, fed):
    """Tensor name → what TensorFlow computes."""
    return session.run({name: name for name in names}, fed)


def write(folder, name, values):
    """Arrays under the names of tensors."""
    np.savez(os.path.join(folder, name + ".npz"), **{key.replace("/", "|"): value for key, value in values.items()})


def read(folder, name):
    """What `write` wrote."""
    with np.load(os.path.join(folder, name + ".npz")) as stored:
        return {key.replace("|", "/"): stored[key] for key in stored}


def folder_name(net):
    """Where a net lies."""
    return net.replace(",", "").replace(" ", "-")


def main(verb, folder):
    import tensorflow as tf

    for net, build in NETS.items():
        own = os.path.join(folder, folder_name(net))
        os.makedirs(own, exist_ok=True)
        if verb == "save":
            save(tf, build, own)
        else:
            judge(tf, own)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
