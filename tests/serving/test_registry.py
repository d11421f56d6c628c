"""The registry, on SQLite and on PostgreSQL: one champion, a way back, a log that adds up, no change lost between two."""

import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from labels.database import DatabaseError, open_database
from serving.bundle import BundleError
from serving.models import main
from serving.registry import Damaged, Registry, RegistryError, champion_path, of_profile
from serving.settings import Settings
from tests.bundles import variants
from tests.databases import make_read_only


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """A state folder and a database."""
    return Settings(state=tmp_path / "state", database=database_url)


def test_promote_and_the_way_back(settings: Settings, quick_bundle: Path) -> None:
    """The champion becomes the previous one; rolling back twice is where one was; every step is in the log."""
    one, two, three = variants(quick_bundle, settings.models, 3)
    registry = Registry.open(settings)
    with pytest.raises(BundleError, match="there is no champion yet"):
        registry.path()
    with pytest.raises(RegistryError, match="no previous bundle"):
        registry.rollback(why="nothing there")
    for name in (one, two, three):
        registry.promote(name, why=f"because of {name}", who="tests", report={"gates": "all"})
    assert registry.promote(three, why="again") is None
    assert (registry.bundle(), registry.bundle("previous")) == (three, two)
    registry.rollback(why="worse")
    assert (registry.bundle(), registry.bundle("previous")) == (two, three)
    registry.rollback(why="no, better")
    assert registry.path() == settings.models / three == champion_path(settings)
    log = registry.history()[::-1]
    assert [(event.action, event.before, event.after) for event in log] == [
        ("promote", None, one),
        ("promote", one, two),
        ("promote", two, three),
        ("rollback", three, two),
        ("rollback", two, three),
    ]
    assert (log[0].who, log[0].why, log[0].report) == ("tests", f"because of {one}", {"gates": "all"})
    registry.close()


def test_only_whole_bundles_are_promoted(settings: Settings, quick_bundle: Path) -> None:
    """A missing or damaged bundle is refused and nothing changes; so is a change that expects another champion."""
    one, two = variants(quick_bundle, settings.models, 2)
    registry = Registry.open(settings)
    registry.promote(one, why="first")
    (settings.models / two / "model.onnx").write_bytes(b"broken")
    for name in (two, "fast-000000000000"):
        with pytest.raises(BundleError):
            registry.promote(name, why="no")
    with pytest.raises(RegistryError, match=f"the champion is {one}, not {two}"):
        registry.promote(one, why="no", expected=two)
    (settings.models / "link").symlink_to(two)
    for name in ("link", f"../models/{two}", str(settings.models / "..")):
        with pytest.raises(BundleError):
            registry.promote(name, why="no")
    assert registry.bundle() == one
    assert len(registry.history()) == 1
    with pytest.raises(RegistryError):
        registry.rollback(why="no", expected=two)
    registry.close()


def test_changes_at_once_leave_one_chain(settings: Settings, quick_bundle: Path) -> None:
    """Eight threads promote and roll back: each event begins where the one before it ended."""
    names = variants(quick_bundle, settings.models, 4)
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            registry = Registry.open(settings)
            for step in range(12):
                if step % 3 == 2:
                    registry.rollback(why="back")
                else:
                    registry.promote(names[(number + step) % 4], why="on")
            registry.close()
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    first = Registry.open(settings)
    first.promote(names[0], why="first")
    first.promote(names[1], why="second")
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    log = first.history()[::-1]
    assert all(later.before == earlier.after for earlier, later in pairwise(log))
    assert first.bundle() == log[-1].after
    assert len({event.id for event in log}) == len(log)
    first.close()


def test_an_expected_champion_lets_one_of_two_win(settings: Settings, quick_bundle: Path) -> None:
    """Compare-and-set: of many that expect the same champion exactly one changes it."""
    names = variants(quick_bundle, settings.models, 5)
    registry = Registry.open(settings)
    registry.promote(names[0], why="first")
    won: list[str] = []

    def work(name: str) -> None:
        own = Registry.open(settings)
        try:
            if own.promote(name, why="mine", expected=names[0]):
                won.append(name)
        except RegistryError:
            pass
        own.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in names[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert registry.bundle() == won[0]
    registry.close()


def test_gc_deletes_what_nothing_means(settings: Settings, quick_bundle: Path) -> None:
    """Champion, previous, linked, the newest and the young stay; what went is in the log."""
    names = variants(quick_bundle, settings.models, 6)
    fresh = Registry.open(settings)
    assert fresh.collect(keep=0) == []
    fresh.close()
    for index, name in enumerate(names):
        then = time.time() - 9000 + index
        os.utime(settings.models / name / "manifest.json", (then, then))
    (settings.models / "quick").symlink_to(names[2])
    registry = Registry.open(settings)
    registry.promote(names[0], why="one")
    registry.promote(names[1], why="two")
    gone = registry.collect(keep=1)
    assert len(gone) == 2
    assert not {names[0], names[1], names[2]}.intersection(gone)
    assert sorted(
        path.name for path in settings.models.iterdir() if path.is_dir() and not path.is_symlink() and path.name[0] != "."
    ) == sorted(set(names) - set(gone))
    assert registry.history()[0].action == "gc"
    registry.close()


def test_the_command(
    settings: Settings, quick_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """list, show, diff, promote, rollback, history and gc, as one types them; mistakes are one line."""
    monkeypatch.setenv("TAGGER_STATE", str(settings.state))
    monkeypatch.setenv("TAGGER_DATABASE", settings.database)
    one, two = variants(quick_bundle, settings.models, 2)
    assert main(["promote", one, "--why", "first"]) == 0
    assert main(["promote", two, "--why", "second", "--expected", one]) == 0
    assert main(["rollback", "--why", "worse"]) == 0
    assert main(["list"]) == 0
    assert main(["history"]) == 0
    assert main(["diff", "champion", "previous"]) == 0
    assert main(["show", "champion"]) == 0
    assert main(["gc", "--keep", "0"]) == 0
    said = capsys.readouterr().out
    for words in (
        f"{one} serves again in place of {two}",
        "champion",
        "worse",
        "decisions.thresholds",
        f'"name": "{one}"',
        "nothing to delete",
    ):
        assert words in said
    assert main(["promote", "nothing", "--why", "x"]) == 1
    assert "there is no bundle" in capsys.readouterr().err


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """One line with the address, without its password."""
    with pytest.raises(DatabaseError, match="cannot be opened") as caught:
        open_database(f"sqlite:///{tmp_path}")
    assert str(tmp_path) in str(caught.value)


def test_a_profile_names_its_newest_bundle(settings: Settings, quick_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion when it is of the profile, else the newest that is; a user without a name is a number in the log."""
    one, two = variants(quick_bundle, settings.models, 2)
    later = time.time() + 5
    os.utime(settings.models / two / "manifest.json", (later, later))
    assert of_profile(settings, "quick").name == two
    registry = Registry.open(settings)

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    made = registry.promote(one, why="first")
    assert made
    assert made.who == str(os.getuid())
    assert of_profile(settings, "quick").name == one
    with pytest.raises(BundleError, match="no bundle of the profile 'fast'"):
        of_profile(settings, "fast")
    (settings.models / two / "model.onnx").write_bytes(b"")
    damaged, whole = registry.bundles()
    assert isinstance(damaged, Damaged)
    assert (damaged.name, whole.name) == (two, one)
    assert damaged.why.startswith("model.onnx: has changed")
    registry.close()


@pytest.fixture
def commands(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the commands work on."""
    monkeypatch.setenv("TAGGER_STATE", str(settings.state))
    monkeypatch.setenv("TAGGER_DATABASE", settings.database)
    return settings


def test_an_alias_that_means_nothing_yet_says_what_makes_it(commands: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Each in its own way: training, retraining, a first change of champions."""
    for alias, hint in (
        ("champion", "there is no champion yet; `tagger train` makes one"),
        ("challenger", "there is no challenger yet; `tagger retrain` makes one"),
        ("previous", "there is no previous champion yet; no champion was replaced by another"),
    ):
        assert main(["promote", alias, "--why", "x"]) == 1
        assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gc", "--keep", "-1"), "argument --keep: '-1' is no number from 0"),
        (("gc", "--keep", "x"), "argument --keep: 'x' is no number from 0"),
        (("history", "--most", "-1"), "argument --most: '-1' is no number from 1"),
        (("promote", "quick-0123456789ab", "--why", ""), "argument --why: say why, for the log"),
        (("rollback", "--why", " "), "argument --why: say why, for the log"),
    ],
)
def test_senseless_arguments_are_refused(
    arguments: tuple[str, ...], said: str, commands: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is done."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_damaged_champion_is_listed_as_such(
    commands: Settings, quick_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name, what it is and what is wrong with it, beside the whole ones; one whose folder is gone too."""
    one, two, three = variants(quick_bundle, commands.models, 3)
    for name in (one, two):
        assert main(["promote", name, "--why", "x"]) == 0
    (commands.models / two / "model.onnx").write_bytes(b"[/broken]")
    (commands.models / one / "manifest.json").unlink()
    capsys.readouterr()
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [champion] = [line for line in lines if two in line]
    assert " champion, damaged: model.onnx: has changed: sha256 is " in champion
    assert str(commands.models) not in champion
    [previous] = [line for line in lines if one in line]
    assert " previous, damaged: manifest.json is missing" in previous
    [other] = [line for line in lines if three in line]
    assert "damaged" not in other


def test_a_registry_that_may_only_be_read_is_told(
    tmp_path: Path, quick_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """promote, rollback and gc in one line, before anything is done; the list is shown all the same."""
    url = f"sqlite:///{tmp_path / 'tagger.db'}"
    settings = Settings(state=tmp_path, database=url)
    monkeypatch.setenv("TAGGER_STATE", str(tmp_path))
    monkeypatch.setenv("TAGGER_DATABASE", url)
    names = variants(quick_bundle, settings.models, 3)
    for name in names[:2]:
        assert main(["promote", name, "--why", "x"]) == 0
    os.utime(settings.models / names[2] / "manifest.json", (1, 1))
    make_read_only(monkeypatch)
    capsys.readouterr()
    for arguments in (["promote", names[2], "--why", "x"], ["rollback", "--why", "x"], ["gc", "--keep", "0"]):
        assert main(arguments) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"tagger models: {url}: cannot be written: ")
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in names)
    assert (settings.models / names[2]).is_dir()


def test_gc_deletes_nothing_that_it_cannot_log(settings: Settings, quick_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the log comes first: a database that refuses it stops the deletion."""
    [name] = variants(quick_bundle, settings.models, 1)
    os.utime(settings.models / name / "manifest.json", (1, 1))
    registry = Registry.open(settings)

    def refuse(*_: object) -> None:
        raise RegistryError

    monkeypatch.setattr("serving.registry._note", refuse)
    with pytest.raises(RegistryError):
        registry.collect(keep=0)
    assert (settings.models / name).is_dir()
    registry.close()
