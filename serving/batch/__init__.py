"""Batch scoring: folders of documents and tables of passages in, a table of scores out.

inputs -> items -> the classifier -> spool (`journal`) -> outputs. A run that was killed goes on where it stood.
"""
