"""TensorFlow as a dialect: graphs, their variables and signatures, checkpoints, and what training leaves in them."""
