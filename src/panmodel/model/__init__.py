"""The types that everything hangs on: lazy tensors, the hub graph and its builder, foreign graph dialects, reports."""
