"""`tagger models`: the bundles, which one serves, and the way back.

tagger models list | show NAME | diff NAME OTHER | promote NAME | rollback | history | gc
"""

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from labels.database import DatabaseError
from serving.arguments import positive
from serving.bundle import MANIFEST, BundleError, Manifest, read_bundle
from serving.classifier import Classifier
from serving.registry import CHALLENGER, CHAMPION, PREVIOUS, Damaged, Registry, RegistryError
from serving.settings import load_settings


def main(arguments: list[str]) -> int:
    """Do what was asked for; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        registry = Registry.open(load_settings())
        try:
            options.do(registry, options)
        finally:
            registry.close()
    except (DatabaseError, RegistryError, BundleError) as error:
        print(f"tagger models: {error}", file=sys.stderr)
        return 1
    except DBAPIError as error:
        print(f"tagger models: the database does not answer: {str(error.orig).strip()}", file=sys.stderr)
        return 1
    return 0


def _list(registry: Registry, _: argparse.Namespace) -> None:
    meant = {name: alias for alias in (CHALLENGER, PREVIOUS, CHAMPION) if (name := registry.bundle(alias))}
    found = registry.bundles()
    gone = [Damaged(name=name, why=f"{MANIFEST} is missing") for name in meant if name not in {one.name for one in found}]
    table = Table("bundle", "is", "macro-F1", "passages", "base model")
    for one in [*gone, *found]:
        if isinstance(one, Damaged):
            state = ", ".join(filter(None, (meant.get(one.name), f"damaged: {one.why}")))
            table.add_row(one.name, escape(state), "", "", "")
        else:
            state = meant.get(one.name) or ("provisional" if one.provisional else "")
            table.add_row(one.name, state, _figure(one), str(one.trained_on.get("passages", "")), one.base_model)
    _print(table)


def _show(registry: Registry, options: argparse.Namespace) -> None:
    print(json.dumps(_facts(read_bundle(registry.models / _named(registry, options.name))), indent=1, ensure_ascii=False))


def _diff(registry: Registry, options: argparse.Namespace) -> None:
    one, other = (
        _flat(_facts(read_bundle(registry.models / _named(registry, name)))) for name in (options.name, options.other)
    )
    table = Table("", options.name, options.other)
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            table.add_row(key, str(one.get(key, "")), str(other.get(key, "")))
    _print(table)


def _promote(registry: Registry, options: argparse.Namespace) -> None:
    name = _named(registry, options.name)
    Classifier.load(registry.models / name, threads=1).close()  # what cannot score its canaries serves nowhere
    made = registry.promote(name, why=options.why, expected=options.expected)
    print(f"{made.after} serves in place of {made.before}" if made else f"{options.name} is the champion already")


def _rollback(registry: Registry, options: argparse.Namespace) -> None:
    made = registry.rollback(why=options.why, expected=options.expected)
    print(f"{made.after} serves again in place of {made.before}")


def _history(registry: Registry, options: argparse.Namespace) -> None:
    table = Table("at", "who", "action", "from", "to", "why")
    for one in registry.history(options.most):
        table.add_row(one.at, one.who, one.action, one.before or "", one.after or "", one.why)
    _print(table)


def _collect(registry: Registry, options: argparse.Namespace) -> None:
    gone = registry.collect(keep=options.keep)
    print("\n".join(gone) if gone else "nothing to delete")


def _named(registry: Registry, name: str) -> str:
    """The name of a bundle, which an alias may stand for."""
    return registry.path(name).name if name in {CHAMPION, PREVIOUS, CHALLENGER} else name


def _facts(manifest: Manifest) -> dict[str, Any]:
    """What tells one bundle from another, without its canaries and hashes of files."""
    left_out = {"canaries", "files", "definitions", "titles"}
    return {name: _plain(getattr(manifest, name)) for name in manifest.__slots__ if name not in left_out}


def _plain(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__slots__} if hasattr(value, "__slots__") else value


def _flat(facts: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in facts.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def _figure(manifest: Manifest) -> str:
    value = manifest.metrics.get("macro_f1")
    return "" if value is None else f"{value:.2f}"


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 1000).print(table)


def _reason(value: str) -> str:
    if not value.strip():
        message = "say why, for the log"
        raise argparse.ArgumentTypeError(message)
    return value


def _number(value: str) -> int:
    if not value.isdecimal():
        message = f"{value!r} is no number from 0"
        raise argparse.ArgumentTypeError(message)
    return int(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tagger models", description="The bundles, which one serves, and the way back.")
    commands = parser.add_subparsers(required=True)

    def add(name: str, do: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(do=do)
        return command

    add("list", _list, "all bundles, the newest first")
    add("show", _show, "what a bundle is").add_argument("name", help="its name, or champion, previous or challenger")
    diff = add("diff", _diff, "how two bundles differ")
    diff.add_argument("name")
    diff.add_argument("other")
    promote = add("promote", _promote, "make a bundle the champion")
    promote.add_argument("name")
    promote.add_argument("--why", type=_reason, required=True, help="for the log")
    promote.add_argument("--expected", help="only if this one is the champion now")
    rollback = add("rollback", _rollback, "go back to the previous champion")
    rollback.add_argument("--why", type=_reason, required=True, help="for the log")
    rollback.add_argument("--expected", help="only if this one is the champion now")
    add("history", _history, "what happened, the newest first").add_argument("--most", type=positive, default=50)
    add("gc", _collect, "delete bundles that nothing means").add_argument(
        "--keep", type=_number, default=5, help="newest that stay"
    )
    return parser
