"""Runs a bundle: scores passages over HTTP, in batch and in process. Never imports the training stack."""
