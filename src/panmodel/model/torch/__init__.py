"""PyTorch as a dialect: the source of modules with their state, and what pickled checkpoints hold."""
