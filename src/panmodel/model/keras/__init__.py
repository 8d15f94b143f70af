"""What files of Keras have in common: layer groups, optimizers, and how both lie in HDF5."""
