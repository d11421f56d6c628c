"""The command `tagger`: a table from subcommand to the module that does it, resolved only when it is called.

tagger serve | score | summary | models | keys | labels | train | retrain | worker | screen | evaluate | behaviour
"""

import importlib
import signal
import sys

_COMMANDS = {
    "serve": ("serving.serve", "serve a bundle over HTTP"),
    "score": ("serving.batch.command", "tag documents and tables of passages, write a table"),
    "summary": ("serving.batch.summary", "what a run of `tagger score` found; a page; a file to label"),
    "keys": ("serving.keys", "create and list API keys"),
    "models": ("serving.models", "the bundles, which one serves, and the way back"),
    "labels": ("labels.cli", "check the labels, print agreement; import, export, queue, promote, errors"),
    "train": ("training.train", "train a bundle (extra `train`)"),
    "retrain": ("training.worker:retrain_now", "train on the labels of now, promote what is no worse (extra `train`)"),
    "worker": ("training.worker:work", "do the jobs that are asked for (extra `train`)"),
    "screen": ("training.screen", "try a recipe on two held-out documents (extra `train`)"),
    "evaluate": ("training.evaluate", "leave-one-document-out evaluation (extra `train`)"),
    "behaviour": ("training.behaviour", "ask a bundle the behavioural cases (extra `train`)"),
}
_LABELS = {
    "import": "serving.labelling.transfer:import_labels",
    "export": "serving.labelling.transfer:export_labels",
    "queue": "serving.labelling.queue:main",
    "promote": "serving.labelling.promotion:main",
    "errors": "training.label_errors:main",
}
"""Of `tagger labels` what needs more than the labels."""


def main() -> int:
    """Dispatch `sys.argv` to a subcommand; the exit status."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name = arguments[0]
    if name not in _COMMANDS:
        print(f"tagger: unknown command {name!r}\n\n{_usage()}", file=sys.stderr)
        return 2
    place, rest = _COMMANDS[name][0], arguments[1:]
    if name == "labels" and rest and rest[0] in _LABELS:
        place, rest = _LABELS[rest[0]], rest[1:]
    module_name, _, function = place.partition(":")
    try:
        module = importlib.import_module(module_name)
        return int(getattr(module, function or "main")(rest))
    except ModuleNotFoundError as error:
        if not module_name.startswith("training."):
            raise
        print(f'tagger {name}: {error.name} is not installed; pip install "passage-tagger[train]"', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending; a further one would only be traced
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone: nothing is left to say
        sys.stderr.close()
        return 141


def _usage() -> str:
    lines = "\n".join(f"  {name:<10}{help_text}" for name, (_, help_text) in _COMMANDS.items())
    return f"usage: tagger COMMAND …\n\n{lines}\n\n`tagger COMMAND --help` tells more."


if __name__ == "__main__":
    sys.exit(main())
