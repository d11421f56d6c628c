"""Labels into and out of the files of other tools, a module a format."""
