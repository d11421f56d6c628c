"""Settings of this service: the one place that reads the environment (prefix TAGGER_)."""

import difflib
import os
import sys
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "TAGGER_"
_OTHERS = frozenset({"TEST_LIGHT"})
"""Of this prefix, and no setting of the service: the run of the tests without the training stack."""
_told: set[str] = set()


def load_settings() -> "Settings":
    """The settings of this process. Raises SystemExit with one line a mistake when the environment holds any.

    A variable of our prefix that is no setting is told once: other software may have set it, or a name is misspelt.
    """
    _tell_unknown()
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"TAGGER_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}, not {one['input']!r}" for one in error.errors()
        ]
        raise SystemExit("\n".join(lines)) from error


class Settings(BaseSettings):
    """Where things are and how much is allowed. Each field is also an environment variable: TAGGER_STATE and so on."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid")

    state: Path = Path("state")
    """Folder of everything that changes: models, fits, keys."""
    bundle: Path | None = None
    """The bundle to serve, whatever the registry says; default: the registry's champion, and each new one as it comes."""
    database: str = ""
    """URL of the database (`postgresql+psycopg://…`) that replicas share; default: `tagger.db`, SQLite, in the state folder."""
    keys: Path | None = None
    """The file of hashed API keys; default: `keys.json` in the state folder."""
    keys_required: bool = False
    """Ask for a key even when there is none in the file: `tagger serve` sets it off loopback and for its replicas."""
    replica: bool = False
    """One of several processes under a supervisor: it ends when its engine hangs, and is started again; alone, it ends too."""
    threads: int | None = Field(default=None, ge=1)
    """Scoring threads; default: the cores of this process."""
    lone_threads: int | None = Field(default=None, ge=1)
    """Cores that a lone passage gets; default: up to four (of replicas, each its share); 1 saves a second session's memory."""
    max_passages: int = Field(default=1000, ge=1)
    """Passages in one request."""
    max_document_passages: int = Field(default=10_000, ge=1)
    """Passages of one document over HTTP."""
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """Bytes of a request's body, counted as they arrive; of a stream, bytes of one line."""
    max_document_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """Bytes of an uploaded document that is more than text: PDF, DOCX and the like."""
    max_held_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """Bytes of documents that a process holds at a time, from their arrival to the answer; more are answered 429."""
    body_seconds: float = Field(default=30.0, gt=0)
    """Time in which a request's body must have arrived; a slower one is answered 408. Of a stream, time between two bytes."""
    max_queue_tokens: int = Field(default=200_000, ge=1)
    """Work in tokens (about four characters each) after which no more bulk jobs may wait: they are answered 429."""
    max_interactive_tokens: int = Field(default=8_000, ge=1)
    """The same of interactive jobs, whose callers wait: some hundred passages, a quarter of a second with the fast profile."""
    hang_seconds: float = Field(default=0.8, gt=0)
    """After which a scoring thread that does not come back from a pass of the model may be given up, and its request failed."""
    drain_seconds: float = Field(default=1.0, ge=0)
    """Between SIGTERM and closing the port: not ready any more, still answering, so that a load balancer turns away first."""
    finish_seconds: int = Field(default=30, ge=1)
    """What accepted requests may still take once the port is closed."""
    swap_seconds: float = Field(default=1.0, gt=0)
    """Pause between two looks at the registry for another champion."""
    canary_seconds: float = Field(default=10.0, gt=0)
    """Pause between two background checks of the canaries."""

    @property
    def models(self) -> Path:
        """Folder of the bundles."""
        return self.state / "models"

    @property
    def database_url(self) -> str:
        """The database, as SQLAlchemy names it."""
        return self.database or f"sqlite:///{self.state.absolute() / 'tagger.db'}"

    @property
    def keys_file(self) -> Path:
        """The file of hashed API keys."""
        return self.keys or self.state / "keys.json"


def _tell_unknown() -> None:
    known = {name.upper() for name in Settings.model_fields}
    given = {name.upper().removeprefix(_PREFIX) for name in os.environ if name.upper().startswith(_PREFIX)}
    if "REPLICA" in given:  # its supervisor has told
        return
    for name in sorted(given - known - _OTHERS - _told):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {_PREFIX}{near[0]}?" if near else ""
        print(f"tagger: {_PREFIX}{name} is no setting and is ignored{hint}", file=sys.stderr)
        _told.add(name)
