"""Train the digit classifier of `examples/digits` as it was written in 2017, and record what TensorFlow makes of it.

Needs TensorFlow 1.15.5, scikit-learn 1.0.2 and Python 3.7:

    python scripts/train_digits.py examples/digits

Writes a V2 checkpoint with its optimizer slots (`model.ckpt.*`), the `.meta` of the graph for inference, the
`checkpoint` state file, and `recorded.npz`: images never trained on, their labels, and TensorFlow's own outputs for
them, each under the name of its tensor.
"""

import os
import sys

import numpy as np
import tensorflow.compat.v1 as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 7
STEPS = 600
BATCH = 64
RECORDED = 32
MODEL = "model.ckpt"
SINGLE_THREADED = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)  # same sums each time


def network(images, is_training):
    """Digits 8 x 8 x 1 in NHWC, values 0 to 1 -> logits [batch, 10] and their softmax."""
    net = images
    for name, filters in (("conv1", 16), ("conv2", 24)):
        with tf.variable_scope(name):
            net = tf.layers.conv2d(net, filters, 3, padding="same", use_bias=False, name="conv")
            net = tf.layers.batch_normalization(net, training=is_training, momentum=0.9, fused=True, name="bn")
            net = tf.nn.relu(net, name="relu")
            net = tf.layers.max_pooling2d(net, 2, 2, name="pool")
    net = tf.layers.flatten(net, name="flatten")
    net = tf.layers.dense(net, 40, activation=tf.nn.relu, name="fc1")
    net = tf.layers.dropout(net, 0.3, training=is_training, seed=SEED, name="dropout")
    logits = tf.identity(tf.layers.dense(net, 10, name="fc2"), name="logits")
    return logits, tf.nn.softmax(logits, name="probabilities")


def training_graph():
    """The network as it is trained; returns the training step."""
    tf.set_random_seed(SEED)
    images = tf.placeholder(tf.float32, [None, 8, 8, 1], name="images")
    labels = tf.placeholder(tf.int64, [None], name="labels")
    logits, _ = network(images, is_training=True)
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    rate = tf.train.exponential_decay(4e-3, tf.train.get_or_create_global_step(), STEPS // 4, 0.5)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return tf.train.AdamOptimizer(rate).minimize(loss, global_step=tf.train.get_global_step(), name="train")


def inference_graph():
    """The network as it is used: batch normalization by the moving averages, no dropout; the same variables."""
    network(tf.placeholder(tf.float32, [None, 8, 8, 1], name="images"), is_training=False)


def digits():
    """Training and held-out images [n, 8, 8, 1] with their labels."""
    data = load_digits()
    images = (data.images / 16.0).astype(np.float32)[..., np.newaxis]
    return train_test_split(images, data.target.astype(np.int64), test_size=0.25, random_state=SEED)


def main(folder):
    """Train, save, restore into the graph for inference, record."""
    os.makedirs(folder, exist_ok=True)
    prefix = os.path.join(folder, MODEL)
    images, held_out, labels, held_out_labels = digits()
    order = np.random.RandomState(SEED)

    with tf.Graph().as_default(), tf.Session(config=SINGLE_THREADED) as session:
        train = training_graph()
        session.run(tf.global_variables_initializer())
        for _ in range(STEPS):
            batch = order.choice(len(images), BATCH, replace=False)
            session.run(train, {"images:0": images[batch], "labels:0": labels[batch]})
        tf.train.Saver(save_relative_paths=True).save(session, prefix, write_meta_graph=False)

    with tf.Graph().as_default(), tf.Session(config=SINGLE_THREADED) as session:
        inference_graph()
        saver = tf.train.Saver()
        saver.export_meta_graph(prefix + ".meta")
        saver.restore(session, prefix)
        logits, probabilities = session.run(["logits:0", "probabilities:0"], {"images:0": held_out})
    accuracy = float(np.mean(probabilities.argmax(axis=1) == held_out_labels))
    print(f"accuracy on {len(held_out)} images held out: {accuracy:.4f}")
    assert accuracy > 0.95, accuracy

    named = {"images:0": held_out[:RECORDED], "labels": held_out_labels[:RECORDED]}
    named.update({"logits:0": logits[:RECORDED], "probabilities:0": probabilities[:RECORDED]})
    np.savez(os.path.join(folder, "recorded.npz"), **named)


if __name__ == "__main__":
    main(sys.argv[1])
