"""The OpenAPI document: problem answers with an example each, and bodies that routes read themselves."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from serving.answers import ProblemOut
from serving.api import DocumentRequest, JobRequest, LabelsRequest, TagRequest
from serving.problems import MEDIA_TYPE

_WHY = {
    400: ("The body is not JSON.", "the body is not JSON: Expecting value at line 1, column 1"),
    401: ("No key, or an unknown one.", "send a key as `Authorization: Bearer KEY`; `tagger keys create` makes one"),
    403: ("The key does not allow this.", "the key has the scopes label; this needs tag"),
    404: ("There is no such thing.", "there is no job 7"),
    409: ("A key was used for something else.", "label 0: key: 'k1' was used for another label already: its tags was …"),
    408: ("The body did not arrive in time.", "the body did not arrive within 30 s"),
    413: ("The body is too large.", "the body has more than 4194304 bytes"),
    415: ("The body is of a type that is not read here.", "the body is 'text/csv', send application/json"),
    422: (
        "The body or the query is not as described here; or the one `text` cannot be scored.",
        "the request is not as /docs says",
    ),
    429: ("The queue is full; `Retry-After` says when there will be room.", "the queue is full; try again in 2 s"),
    500: ("A fault of the service; its log says more.", "an internal error; the log of the server says more"),
    503: ("Not ready, or being stopped.", "draining: this process has been told to stop"),
    504: ("The deadline has passed.", "200 ms have passed"),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with these problem documents."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    description, detail = _WHY[status]
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        example["errors"] = [{"pointer": "/passages/0/text", "detail": "Field required"}]
    found: dict[str, Any] = {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}, "example": example}},
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        found["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


def body(content: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself, by media type."""
    return {"requestBody": {"required": True, "content": content}}


def reference(model: str) -> dict[str, Any]:
    """A schema that stands among the document's components."""
    return {"schema": {"$ref": f"#/components/schemas/{model}"}}


def add_bodies(app: FastAPI) -> None:
    """Put the schemas of bodies that routes read themselves, and of problems, into the application's document."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        schemas = document["components"]["schemas"]
        for model in (TagRequest, DocumentRequest, LabelsRequest, JobRequest, ProblemOut):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"key": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents for changing the schema
