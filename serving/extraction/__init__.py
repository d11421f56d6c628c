"""Documents as they come, into plain text: HTML, PDF, DOCX, EPUB and e-mail (extra `documents`); text and Markdown without it.

`extract` in `serving.extraction.isolated` is the way in: a process of its own, with limits, reads the file.
"""
