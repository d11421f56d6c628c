"""Makes a bundle from the labels and grades it (extra `train`)."""
