"""Who may do what: a route names the scope that it needs, a key in `Authorization: Bearer` gives it."""

import logging
from collections.abc import Awaitable, Callable

from fastapi import Request

from serving.keys import KeysError
from serving.problems import RequestProblem
from serving.service import service_of

log = logging.getLogger("tagger")


def needs(scope: str) -> Callable[[Request], Awaitable[None]]:
    """A check that lets a request pass whose key has `scope` (or `admin`); on a server that never had a key, all pass."""

    async def check(request: Request) -> None:  # a plain function would cost a trip to another thread
        service = service_of(request)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        try:
            service.keys_required = bool(service.keys.keys) or service.keys_required
            found = service.keys.find(key.strip()) if scheme.lower() == "bearer" else None
        except KeysError as error:
            log.exception("the keys cannot be read")
            raise RequestProblem(503, "the keys of this server cannot be read") from error
        request.state.key = found
        if not service.keys_required:
            return
        if found is None:
            detail = "send a key as `Authorization: Bearer KEY`; `tagger keys create` makes one"
            raise RequestProblem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        if not {scope, "admin"} & set(found.scopes):
            raise RequestProblem(403, f"the key has the scopes {', '.join(found.scopes)}; this needs {scope}")

    return check


def caller_of(request: Request) -> str:
    """Who asks, for logs of what was changed: the name of the key, or that it came over the API. For routes with `needs`."""
    key = request.state.key
    return f"api, key {key.name}" if key else "api"
