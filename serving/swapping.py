"""Another champion is served without a restart: noticed, verified, warmed up by its canaries, swapped in between requests."""

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from labels.database import DatabaseError
from serving.bundle import BundleError
from serving.registry import Registry
from serving.service import Service, load_bundle

log = logging.getLogger("tagger")


async def watch_champion(service: Service) -> None:
    """Look at the registry again and again and serve what it says, until cancelled.

    A bundle that cannot be loaded is refused once, logged and counted, and the one that serves stays.
    """
    settings = service.settings
    registry: Registry | None = None
    refused = ""
    try:
        while True:
            await asyncio.sleep(settings.swap_seconds)
            try:
                if registry is None:
                    registry = await asyncio.to_thread(Registry.open, settings)
                name = await asyncio.to_thread(registry.bundle)
            except (DatabaseError, SQLAlchemyError):
                log.exception("the registry does not answer; what serves goes on")
                continue
            if name is None or name in {service.classifier.manifest.name, refused}:
                continue
            try:
                service.swap(await asyncio.to_thread(load_bundle, settings, registry.models / name))
            except BundleError as error:
                refused = name
                service.metrics.swaps.labels("refused").inc()
                log.error("another champion was refused: %s", error)  # noqa: TRY400 - it is told, and no fault of this code
            else:
                refused = ""
                service.metrics.swaps.labels("swapped").inc()
    finally:
        if registry:
            registry.close()
