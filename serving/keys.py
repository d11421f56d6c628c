"""API keys: created once, shown once, stored as hashes with their scopes; checked in constant time.

    tagger keys create --name NAME --scope tag        prints the key
    tagger keys list
    tagger keys revoke --name NAME

The server reads the file again when it changes, so keys are rotated without a restart.
"""

import argparse
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from serving.settings import load_settings

SCOPES = ("tag", "label", "admin")
_PREFIX = "pt_"
_SHA256 = re.compile("[0-9a-f]{64}")


class KeysError(Exception):
    """Raised when the key file cannot be read or a key cannot be made as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as it is stored."""

    name: str
    sha256: str
    """Of the key, which has 256 random bits: a slow hash would add nothing."""
    scopes: list[str]


class KeyRing:
    """The keys of a file, read again whenever the file changes."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist: then there are no keys."""
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: list[Key] = []

    @property
    def keys(self) -> list[Key]:
        """The keys now. Raises KeysError when the file is damaged or cannot be read."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._keys = None, []
            return self._keys
        except OSError as error:
            raise _unreadable(self._path, error) from error
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._keys = read_keys(self._path)
            self._stamp = stamp
        return self._keys

    def find(self, presented: str) -> Key | None:
        """The stored key that a presented one is, if any. Every stored key is compared. Raises KeysError."""
        digest = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).hexdigest()
        found: Key | None = None
        for key in self.keys:
            if hmac.compare_digest(digest, key.sha256):
                found = key
        return found

    def scopes_of(self, presented: str) -> list[str] | None:
        """Scopes of a presented key, None when there is no such key. Raises KeysError."""
        key = self.find(presented)
        return key.scopes if key else None


def read_keys(path: Path) -> list[Key]:
    """The stored keys; [] when there is no file. Raises KeysError."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(entries, list):
        raise _unreadable(path, "it is not a list")
    return [_key(path, number, entry) for number, entry in enumerate(entries, 1)]


def _key(path: Path, number: int, entry: object) -> Key:
    match entry:
        case {"name": str(name), "sha256": str(sha256), "scopes": [*scopes], **rest} if (
            _SHA256.fullmatch(sha256) and all(scope in SCOPES for scope in scopes) and not rest
        ):
            return Key(name=name, sha256=sha256, scopes=scopes)
    reason = f"entry {number} must hold a name, a sha256 of 64 digits 0-9a-f and scopes ({', '.join(SCOPES)}), nothing else"
    raise _unreadable(path, reason)


def _unreadable(path: Path, reason: object) -> KeysError:
    return KeysError(f"{path}: cannot be read as keys: {reason}")


def create_key(path: Path, name: str, scopes: list[str]) -> str:
    """Make a key, store its hash, and return the key itself. Raises KeysError when the name is empty or taken."""
    if not name:
        message = "a key needs a name"
        raise KeysError(message)
    with _changing(path) as keys:
        if any(key.name == name for key in keys):
            message = f"{path}: there is a key named {name!r} already; revoke it or take another name"
            raise KeysError(message)
        key = _PREFIX + secrets.token_urlsafe(32)
        keys.append(Key(name=name, sha256=hashlib.sha256(key.encode()).hexdigest(), scopes=scopes))
    return key


def revoke_key(path: Path, name: str) -> None:
    """Remove a key. Raises KeysError when there is none of that name."""
    with _changing(path) as keys:
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            message = f"{path}: there is no key named {name!r} (known: {', '.join(key.name for key in keys) or 'none'})"
            raise KeysError(message)
        keys[:] = kept


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys to change; written back whole or not at all, one writer at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise KeysError(message) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read_keys(path)
        yield keys
        temporary = path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump([asdict(key) for key in keys], file, indent=1)
        os.replace(temporary, path)  # noqa: PTH105 - the atomic form, named as what it is
    finally:
        os.close(lock)


def main(arguments: list[str]) -> int:
    """Run one keys command; the exit status."""
    parser = argparse.ArgumentParser(prog="tagger keys", description="API keys; a server off loopback needs one.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--scope", action="append", choices=SCOPES, help="what it allows; may be repeated (default: tag)")
    revoke = commands.add_parser("revoke", help="remove a key")
    revoke.add_argument("--name", required=True, help="the key's name")
    commands.add_parser("list", help="names and scopes")
    options = parser.parse_args(arguments)
    path = load_settings().keys_file
    try:
        if options.command == "create":
            print(create_key(path, options.name, options.scope or ["tag"]))
        elif options.command == "revoke":
            revoke_key(path, options.name)
        else:
            for key in read_keys(path):
                print(f"{key.name}\t{' '.join(key.scopes)}")
    except KeysError as error:
        print(f"tagger keys: {error}", file=sys.stderr)
        return 1
    return 0
