"""Another champion is served without a restart: noticed, verified, warmed up by its canaries, swapped in between requests."""

import asyncio
import gc
import logging
import time
import weakref
from pathlib import Path

from serving.classifier import Classifier
from serving.memory import give_back
from serving.registry import Registry
from serving.service import Service, load_bundle

log = logging.getLogger("tagger")

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
"""Seconds before a refused bundle is tried again."""


async def watch_champion(service: Service) -> None:
    """Look at the registry again and again and serve what it says, until cancelled.

    A bundle that cannot be loaded is refused, logged and counted once, and the one that serves stays; the refused one is
    tried again after growing pauses, since its cause may pass.
    """
    settings = service.settings
    registry: Registry | None = None
    silent = False
    refused, again, pause = "", 0.0, _FIRST_PAUSE
    try:
        while True:
            await asyncio.sleep(settings.swap_seconds)
            try:
                if registry is None:
                    registry = await asyncio.to_thread(Registry.open, settings)
                name = await asyncio.to_thread(registry.bundle)
            except Exception:
                level = logging.DEBUG if silent else logging.ERROR  # told once, not at each look
                log.log(level, "the registry does not answer; what serves goes on", exc_info=True)
                silent = True
                continue
            silent = False
            if name != refused:
                refused, pause = "", _FIRST_PAUSE
            if name is None or name == service.classifier.manifest.name or (name == refused and time.monotonic() < again):
                continue
            try:
                await _swap(service, registry.models / name)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may not end this watch
                if name != refused:
                    service.metrics.swaps.labels("refused").inc()
                    log.error("another champion was refused: %s", error)  # noqa: TRY400 - told in one line
                refused, again, pause = name, time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE)
    finally:
        if registry:
            registry.close()


async def _swap(service: Service, folder: Path) -> None:
    """Load a bundle and serve it. Raises BundleError."""
    classifier = await asyncio.to_thread(load_bundle, service.settings, folder)
    old = weakref.ref(service.classifier)
    classifier.scheduler.learn(service.classifier.scheduler.pass_seconds)
    service.swap(classifier)
    service.metrics.swaps.labels("swapped").inc()
    # Jobs that failed hold their frames, and so the old classifier, in cycles that only the collector opens.
    for pause in (0.5, 5.0):
        asyncio.get_running_loop().call_later(pause, _collect, old)


def _collect(old: "weakref.ref[Classifier]") -> None:
    if old() is not None:
        gc.collect()
    give_back()
