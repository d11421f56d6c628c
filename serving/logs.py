"""The log of a serving process: one object of JSON a line on standard error. No text of a passage, no key, no query."""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

_OWN = ("serving.", "labels.")


class JsonLines(logging.Formatter):
    """A record as one line of JSON.

    Of an exception it keeps the kind and the places it came through. The message only of kinds of our own: one of a
    library may quote what it was given.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and (error := record.exc_info[1]) is not None:
            kind = type(error)
            line["exception"] = kind.__qualname__
            if kind.__module__.startswith(_OWN):
                line["detail"] = str(error)
            frames = traceback.extract_tb(error.__traceback__)
            line["stack"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=False)


LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": JsonLines}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "tagger": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
"""For `logging.config.dictConfig` and for uvicorn."""
