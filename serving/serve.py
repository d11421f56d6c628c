"""`tagger serve`: check address, keys and bundle, then serve, and show a request that works.

tagger serve --port 8000
"""

import argparse
import ctypes
import ipaddress
import json
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from serving.app import create_app
from serving.arguments import positive
from serving.bundle import BundleError
from serving.connections import Connection, allow_files
from serving.keys import KeysError, read_keys
from serving.listening import PortError, listen
from serving.logs import LOG_CONFIG
from serving.replicas import serve_replicas
from serving.service import load_classifier, service_in
from serving.settings import Settings, load_settings

_TRAINING_SECONDS = 10
"""For which training that was told to stop is waited for."""
_PRCTL = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
_PR_SET_PDEATHSIG = 1
_EXAMPLE = {
    "passages": [
        {"text": "We urge the European Union to freeze the assets of the officials who ordered the arrests."},
        {"text": "In June 1976 police opened fire on pupils marching through Soweto, killing dozens."},
    ]
}


def main(arguments: list[str]) -> int:
    """Serve until told to stop; the exit status."""
    settings = load_settings()
    parser = argparse.ArgumentParser(prog="tagger serve", description="Serve a bundle over HTTP.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to bind; off loopback it needs keys (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to bind (default: %(default)s)")
    parser.add_argument(
        "--replicas", type=positive, default=1, help="processes that share the port; each loads the bundle (default: 1)"
    )
    parser.add_argument(
        "--bundle", type=Path, default=settings.bundle, help="folder of a bundle (default: the champion, and each new one)"
    )
    parser.add_argument(
        "--train",
        nargs="?",
        const="",
        metavar="PROFILE",
        help="train a model beside, when there is none but a provisional one, and swap it in (extra `train`)",
    )
    options = parser.parse_args(arguments)
    try:
        keyed = bool(read_keys(settings.keys_file)) or settings.keys_required
        if not keyed and not _is_loopback(options.host):
            print(
                f"tagger serve: {options.host} is not loopback and there are no API keys in {settings.keys_file}; "
                "make one with `tagger keys create --name NAME`",
                file=sys.stderr,
            )
            return 1
        settings = settings.model_copy(update={"bundle": options.bundle, "keys_required": keyed})
        listener = listen(options.host, options.port, settings.body_seconds)
        classifier = load_classifier(settings)
        allow_files()
    except (BundleError, KeysError, PortError) as error:
        print(f"tagger serve: {error}", file=sys.stderr)
        return 1
    host = f"[{options.host}]" if ":" in options.host else options.host
    base = f"http://{host}:{listener.getsockname()[1]}"
    if classifier.manifest.provisional:
        print("tagger serve: this model is provisional: trained in seconds, to try the service", file=sys.stderr)
    threading.Thread(target=_show_example, args=(base, keyed), daemon=True).start()
    config: dict[str, Any] = {
        "log_config": LOG_CONFIG,
        "access_log": False,  # the service writes its own, without queries
        "server_header": False,
        "timeout_graceful_shutdown": settings.finish_seconds,
        "http": Connection,
    }
    if options.train is not None and options.bundle:
        print("tagger serve: --bundle says what serves; the model that --train makes is not swapped in", file=sys.stderr)
    with nullcontext() if options.train is None else _training(settings, options.train):
        if options.replicas > 1:
            classifier.close()  # it was loaded to see that the bundle is good
            del classifier
            return serve_replicas(settings, listener, options.replicas, config, keys_required=keyed)
        app = create_app(settings, classifier)
        del classifier  # one that is swapped out must not live on here
        service_in(app).listener = listener
        uvicorn.Server(uvicorn.Config(app, **config)).run(sockets=[listener])
    return 0


@contextmanager
def _training(settings: Settings, profile: str) -> Iterator[None]:
    """Train beside, and stop with the server: told to, within ten seconds, and with one that dies at once."""
    command = [sys.executable, "-m", "serving.cli", "train", "--if-missing", "--state", str(settings.state)]
    told: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        if len(told) == 1:
            sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)  # uvicorn raises the signals that it was told again, once it has ended
    if profile:
        command += ["--profile", profile]
    child = subprocess.Popen(command, preexec_fn=_end_with_parent)  # noqa: S603, PLW1509 - ourselves; it makes one system call
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(_TRAINING_SECONDS)
        except subprocess.TimeoutExpired:  # amid a call that takes no signals; what it caches is whole or not there
            child.kill()
            child.wait()
        if told:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)


def _end_with_parent() -> None:
    """On Linux this process is told to end when the one that started it has died."""
    if _PRCTL:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _show_example(base: str, keyed: bool) -> None:  # noqa: FBT001 - a thread's target takes plain arguments
    """Print a request to paste, and what the server answers to it."""
    body = json.dumps(_EXAMPLE)
    key = ' -H "Authorization: Bearer KEY"' if keyed else ""
    command = f"curl {base}/v1/tag -H 'Content-Type: application/json'{key} -d {shlex.quote(body)}"
    if keyed:
        print(f"\nserving on {base}\n\n{command}\n", flush=True)
        return
    request = urllib.request.Request(f"{base}/v1/tag", body.encode(), {"Content-Type": "application/json"})  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
            shown = json.dumps(json.load(answer), indent=1, ensure_ascii=False)
    except OSError:
        return  # the server is stopping already, and says why itself
    print(f"\nserving on {base} (docs: {base}/docs)\n\n{command}\n\n{shown}\n", flush=True)
