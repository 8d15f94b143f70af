"""TensorFlow graphs → the hub: one file per operator family, found by directory (see `registry`)."""
