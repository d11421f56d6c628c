"""What the texts mean: documents, passages, the codebook, and the annotations made by it (stdlib only)."""
