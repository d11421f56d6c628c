"""Which bundle serves: the aliases `champion`, `previous`, `challenger`, changed in one step each, and the log of all this.

Bundles are folders named by their content; the registry only says which one is meant. A change names what it expects
to find (compare-and-set), so that of two at once one fails instead of undoing the other.
"""

import getpass
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from labels.database import DatabaseError, alone, open_database
from labels.tables import WHO_LENGTH, aliases, events
from serving.bundle import MANIFEST, BundleError, Manifest, read_bundle
from serving.settings import Settings

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
_NONE_YET = {
    CHAMPION: "there is no champion yet; `tagger train` makes one",
    PREVIOUS: "there is no previous champion yet; no champion was replaced by another",
    CHALLENGER: "there is no challenger yet; `tagger retrain` makes one",
}
_YOUNG_SECONDS = 3600
_OLD_FITS_SECONDS = 14 * 24 * 3600


class RegistryError(Exception):
    """Raised when the registry does not allow a change; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the log."""

    id: int
    at: str
    """ISO 8601, UTC."""
    who: str
    action: str
    """`promote`, `rollback`, `challenge` or `gc`."""
    alias: str | None
    before: str | None
    after: str | None
    why: str
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A bundle that cannot be read, by the name of its folder."""

    name: str
    why: str


class Registry:
    """The aliases and the log, of one models folder. Thread-safe."""

    def __init__(self, engine: Engine, models: Path) -> None:
        """Use `Registry.open`."""
        self._engine = engine
        self.models = models

    @classmethod
    def open(cls, settings: Settings) -> "Registry":
        """The registry of these settings. Raises DatabaseError."""
        return cls(open_database(settings.database_url), settings.models)

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def bundle(self, alias: str = CHAMPION) -> str | None:
        """The name of the bundle that an alias means. Raises sqlalchemy's errors when the database does not answer."""
        with self._engine.connect() as connection:
            return _bundle(connection, alias)

    def path(self, alias: str = CHAMPION) -> Path:
        """The folder of the bundle that an alias means. Raises BundleError when there is none."""
        name = self.bundle(alias)
        if name is None:
            message = f"{self.models}: {_NONE_YET[alias]}"
            raise BundleError(message)
        return self.models / name

    def promote(
        self, name: str, *, why: str, who: str = "", expected: str | None = None, report: Mapping[str, Any] | None = None
    ) -> Event | None:
        """Make a bundle the champion, and the champion the previous one; None when it is the champion already.

        Raises BundleError when the bundle is missing or damaged, RegistryError when the champion is not the `expected` one.
        """
        with alone(self._engine) as connection:  # nothing is deleted meanwhile
            name = self._whole(name)
            before = _bundle(connection, CHAMPION)
            if expected is not None and before != expected:
                message = f"the champion is {before}, not {expected}: somebody has changed it"
                raise RegistryError(message)
            if before == name:
                return None
            if before:
                _point(connection, PREVIOUS, before)
            _point(connection, CHAMPION, name)
            connection.execute(aliases.delete().where(aliases.c.name == CHALLENGER, aliases.c.bundle == name))
            return _note(connection, who, "promote", before, name, why, report)

    def challenge(self, name: str, *, why: str, who: str = "", report: Mapping[str, Any] | None = None) -> Event:
        """Make a bundle the challenger, which waits for somebody to promote it; raises BundleError for a bad one."""
        with alone(self._engine) as connection:
            name = self._whole(name)
            before = _bundle(connection, CHALLENGER)
            _point(connection, CHALLENGER, name)
            return _note(connection, who, "challenge", before, name, why, report, alias=CHALLENGER)

    def rollback(self, *, why: str, who: str = "", expected: str | None = None) -> Event:
        """Let champion and previous change places.

        Raises RegistryError without a previous one or when the champion is not the `expected` one, BundleError for a bad one.
        """
        with alone(self._engine) as connection:
            before, after = _bundle(connection, CHAMPION), _bundle(connection, PREVIOUS)
            if before is None or after is None:
                message = "there is no previous bundle to go back to"
                raise RegistryError(message)
            if expected is not None and before != expected:
                message = f"the champion is {before}, not {expected}: somebody has changed it"
                raise RegistryError(message)
            self._whole(after)
            _point(connection, CHAMPION, after)
            _point(connection, PREVIOUS, before)
            return _note(connection, who, "rollback", before, after, why, None)

    def history(self, most: int = 1000) -> list[Event]:
        """The newest events first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(events).order_by(events.c.id.desc()).limit(most)).mappings()
            return [Event(**row) for row in rows]

    def bundles(self) -> list[Manifest | Damaged]:
        """The manifests of all bundles, newest first; of one that cannot be read what is wrong with it."""
        found: list[Manifest | Damaged] = []
        for path in sorted(self.models.glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime, reverse=True):
            if path.parent.is_symlink():
                continue
            try:
                found.append(read_bundle(path.parent))
            except BundleError as error:
                found.append(Damaged(name=path.parent.name, why=str(error).replace(f"{path.parent}/", "")))
        return found

    def collect(self, *, keep: int, who: str = "") -> list[str]:
        """Delete bundles that no alias means, but for the newest `keep` and those made in the last hour; their names.

        Cached fits go too when nothing has used them for two weeks.
        """
        who = who or _user()
        young = time.time() - _YOUNG_SECONDS
        with alone(self._engine) as connection:  # nothing is promoted meanwhile
            meant = set(connection.execute(select(aliases.c.bundle)).scalars())
            rest = [one.parent for one in self.models.glob(f"*/{MANIFEST}") if not one.parent.is_symlink()]
            rest = [one for one in rest if one.name not in meant and one.resolve() not in self._linked()]
            spare = sorted(rest, key=lambda one: (one / MANIFEST).stat().st_mtime, reverse=True)[keep:]
            spare = [one for one in spare if (one / MANIFEST).stat().st_mtime <= young]  # others may be about to be promoted
            old = time.time() - _OLD_FITS_SECONDS
            # Cached, so only the time to make them again is lost.
            fits = [one for one in (self.models.parent / "fits").glob("*") if one.is_dir() and one.stat().st_mtime < old]
            gone = [*(one.name for one in spare), *(f"fits/{one.name}" for one in fits)]
            if gone:  # first: what cannot be logged is not deleted
                _note(connection, who, "gc", None, None, f"deleted {', '.join(gone)}", None)
            for folder in (*spare, *fits):
                shutil.rmtree(folder)
        return gone

    def _whole(self, name: str) -> str:
        """The name of a bundle that was read and found whole. Raises BundleError, also for what is no folder of these."""
        folder = self.models / name
        if folder.resolve().parent != self.models.resolve():
            message = f"{name!r} is no bundle of {self.models}"
            raise BundleError(message)
        return read_bundle(folder.resolve()).name

    def _linked(self) -> set[Path]:
        """What links of the folder point to, as `quick` does."""
        return {one.resolve() for one in self.models.iterdir() if one.is_symlink()}


def champion_path(settings: Settings, alias: str = CHAMPION) -> Path:
    """The folder of the bundle to use: the one that the settings name, else the champion. Raises BundleError."""
    if settings.bundle:
        return settings.bundle
    try:
        registry = Registry.open(settings)
    except DatabaseError as error:
        raise BundleError(str(error)) from error
    try:
        return registry.path(alias)
    finally:
        registry.close()


def of_profile(settings: Settings, profile: str) -> Path:
    """The champion when it is of this profile, else the newest bundle that is. Raises BundleError."""
    try:
        champion = champion_path(settings)
    except BundleError:
        champion = None
    if champion and champion.resolve().name.startswith(f"{profile}-"):
        return champion
    found = sorted(settings.models.glob(f"{profile}-*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not found:
        message = (
            f"{settings.models}: there is no bundle of the profile {profile!r}; `tagger train --profile {profile}` makes one"
        )
        raise BundleError(message)
    return found[-1].parent


def _bundle(connection: Connection, alias: str) -> str | None:
    return connection.execute(select(aliases.c.bundle).where(aliases.c.name == alias)).scalar()


def _point(connection: Connection, alias: str, name: str) -> None:
    changed = connection.execute(aliases.update().where(aliases.c.name == alias).values(bundle=name))
    if not changed.rowcount:
        connection.execute(aliases.insert().values(name=alias, bundle=name))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as containers have it
        return str(os.getuid())


def _note(
    connection: Connection,
    who: str,
    action: str,
    before: str | None,
    after: str | None,
    why: str,
    report: Mapping[str, Any] | None,
    alias: str = CHAMPION,
) -> Event:
    values = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "who": (who or _user())[:WHO_LENGTH],
        "action": action,
        "alias": alias if after else None,
        "before": before,
        "after": after,
        "why": why,
        "report": report,
    }
    made = connection.execute(events.insert().values(**values).returning(events.c.id)).scalar_one()
    return Event(id=made, **values)  # type: ignore[arg-type]  # by their names
