"""What a user changes about tensors on their way: which ones, under what names, of what type."""
