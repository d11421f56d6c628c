"""The OpenAPI document is kept: whatever Schemathesis makes of it, no answer is a 5xx, and each is as the document says."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.transport.serialization import Binary

from serving.app import create_app
from serving.extraction.kinds import MEDIA_TYPES
from serving.settings import Settings

Running = Callable[[Settings], AbstractContextManager[str]]


@schemathesis.serializer("application/x-ndjson", *(kind for kind in MEDIA_TYPES if not kind.startswith("text/")))
def as_it_is(_context: object, value: object) -> bytes:
    """Lines and documents are sent as they were made; what is neither text nor bytes is sent as one line."""
    if isinstance(value, Binary):
        return value.data
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


document = schemathesis.openapi.from_dict(create_app(Settings()).openapi())


@pytest.fixture(scope="module")
def base(quick_bundle: Path, tmp_path_factory: pytest.TempPathFactory, running: Running) -> Iterator[str]:
    """A running service."""
    state = tmp_path_factory.mktemp("state")
    with running(Settings(state=state, bundle=quick_bundle, threads=1, hang_seconds=60, drain_seconds=0)) as address:
        yield address


@document.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_the_document_says(case: schemathesis.Case[Any], base: str) -> None:
    """Valid and invalid requests alike.

    Left out: a text without words and a threshold of an unknown tag are refused, which no schema can say; and whatever is
    sent as plain text or as lines is some text.
    """
    if isinstance(case.body, dict) and case.body.get("timeout_ms") in range(1, 600_000) and case.body["timeout_ms"] is not True:
        case.body["timeout_ms"] = 600_000  # a deadline of some milliseconds is rightly answered 504
    if case.query:
        case.query.pop("timeout_ms", None)
    left_out: list[Any] = [positive_data_acceptance]
    if case.media_type != "application/json":
        left_out.append(negative_data_rejection)
    case.call_and_validate(base_url=base, excluded_checks=left_out)
