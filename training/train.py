"""Training: labels in, a bundle out, and the bundle made the one that is served.

Reads seeds/, labels/ and the base model; writes `state/models/<bundle>` and makes it the registry's champion (with --quick
the link `state/models/quick`, and the champion only with --if-missing when there is none). Labels that were added live are
`tagger retrain`'s: beside them it only becomes the challenger of a champion that is no stopgap.

    tagger train                the default profile, with the decisions of its committed evaluation
    tagger train --profile fast another profile
    tagger train --quick        head only, on the frozen encoder: seconds, provisional
"""

import argparse
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from labels.authored import load_authored
from labels.codebook import load_codebook
from labels.corpus import load_corpus
from labels.database import DatabaseError, open_database
from labels.problems import CorpusError
from labels.store import LabelStore
from serving.bundle import BundleError, read_bundle
from serving.classifier import Classifier
from serving.registry import Registry
from serving.settings import load_settings
from training.base_model import BaseModelError, find_base_model
from training.export import ParityError
from training.locking import NoSpaceError, exclusive
from training.package import copied, fitted_bundle, with_standing
from training.recipe import PROFILES, QUICK, SHIPPING, Recipe
from training.records import committed_record, record_file, write_record
from training.snapshot import take, write_snapshot
from training.standing import EVALUATION, standing_of

WHO = "tagger train"


def main(arguments: list[str]) -> int:
    """Train a bundle; the exit status."""
    parser = argparse.ArgumentParser(prog="tagger train", description="Train a bundle from the labels.")
    parser.add_argument("--quick", action="store_true", help="fit only the head, on the frozen encoder (provisional)")
    parser.add_argument("--if-missing", action="store_true", help="do nothing when there is a bundle that loads")
    parser.add_argument("--fresh", action="store_true", help="fit again even if this very fit is in the cache")
    parser.add_argument("--profile", choices=PROFILES, default=SHIPPING.profile, help="default: %(default)s")
    parser.add_argument("--base-model", help="a local folder or a hub name (default: the profile's own)")
    parser.add_argument(
        "--state", type=Path, default=load_settings().state, help="folder of models and fits (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    recipe = QUICK if options.quick else PROFILES[options.profile]
    if options.base_model:
        recipe = replace(recipe, base_model=options.base_model)
    _interrupted.clear()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return _train(options.state, recipe, if_missing=options.if_missing, fresh=options.fresh)
    except (CorpusError, BaseModelError, ParityError, NoSpaceError, DatabaseError, BundleError) as error:
        print(f"tagger train: {error}", file=sys.stderr)
    except OSError as error:
        print(f"tagger train: {error.filename or options.state}: {error.strerror}; nothing was changed", file=sys.stderr)
    return 1


def _train(state: Path, recipe: Recipe, *, if_missing: bool, fresh: bool) -> int:
    registry = Registry.open(load_settings().model_copy(update={"state": state}))
    try:
        return _train_into(registry, state, recipe, if_missing=if_missing, fresh=fresh)
    finally:
        registry.close()


def _train_into(registry: Registry, state: Path, recipe: Recipe, *, if_missing: bool, fresh: bool) -> int:
    if if_missing and _is_there(registry, recipe):
        return 0
    started = time.monotonic()
    with exclusive(state):
        if if_missing and _is_there(registry, recipe):  # another run has made it while this one waited
            return 0
        corpus = load_corpus()
        base = find_base_model(recipe.base_model, state / "encoders")
        # Embedding the authored passages too would take a quick bundle past its seconds.
        authored = [] if recipe.frozen else load_authored(corpus.codebook, corpus.documents)
        snapshot = take(corpus, authored)
        dataset = snapshot.dataset()
        made = fitted_bundle(state / "fits", recipe, base, dataset, corpus.codebook, None, fresh=fresh)
        standing = standing_of(recipe, base, dataset)
        bundle = with_standing(made, state / "models", standing) if standing else copied(made, state / "models")
        write_snapshot(state / "snapshots", snapshot)
        if standing:  # what a later challenger is compared with
            record = committed_record(snapshot, EVALUATION / recipe.profile)
            write_record(record_file(state, read_bundle(bundle)), record)
        if _interrupted.is_set():
            raise KeyboardInterrupt
        if recipe.frozen:
            _point(state / "models" / "quick", bundle)
        if not recipe.frozen or if_missing:  # asked for because no champion loads
            _promote(registry, state, bundle.name, {"provisional": not standing}, must=if_missing)
    provisional = "" if standing else " (provisional: no evaluation of this configuration)"
    print(f"{bundle}{provisional}, made in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


def _promote(registry: Registry, state: Path, name: str, report: dict[str, bool], *, must: bool) -> None:
    """Make a bundle the champion; where labels were added, which it does not know, only if it `must` or replaces a stopgap."""
    champion = registry.bundle()
    store = LabelStore(open_database(load_settings().model_copy(update={"state": state}).database_url), load_codebook())
    added = store.count()
    store.engine.dispose()
    if must or not added or champion is None or champion == name or _is_stopgap(champion):
        registry.promote(name, who=WHO, why="trained", report=report)
        return
    registry.challenge(name, who=WHO, why=f"trained without the {added} labels added", report=report)
    print(
        f"{champion} serves on: labels were added ({added}), and `tagger train` trains without them. "
        f"`tagger retrain` trains with them; `tagger models promote {name}` makes this bundle serve all the same",
        file=sys.stderr,
    )


def _is_there(registry: Registry, recipe: Recipe) -> bool:
    """Whether there is a champion that loads; for a full recipe one that is no stopgap."""
    name = registry.bundle()
    if name is None or (not recipe.frozen and _is_stopgap(name)):
        return False
    try:
        Classifier.load(registry.models / name, threads=1).close()
    except BundleError as error:
        print(f"{error}\ntraining a new bundle", file=sys.stderr)
        return False
    return True


def _is_stopgap(name: str) -> bool:
    return name.startswith(f"{QUICK.profile}-")


def _point(link: Path, bundle: Path) -> None:
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(bundle.name)
    os.replace(temporary, link)  # noqa: PTH105 - the atomic form, named as what it is


_interrupted = threading.Event()


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    """Let a termination clean up as Ctrl-C does, and remember it: libraries beneath may swallow the exception."""
    if _interrupted.is_set():  # once is enough: a second one would cut short the cleaning up
        return
    _interrupted.set()
    raise KeyboardInterrupt
