"""Arrays as numpy stores them."""
