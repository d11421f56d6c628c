"""`POST /v1/documents`: a document of any kind in, as a body or an upload; its passages with offsets and tags out."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from labels.passages import Passage, split_passages
from serving.access import needs
from serving.answers import DocumentAnswer
from serving.api import Asked, DocumentRequest
from serving.asked import (
    DOCUMENT_OPTIONS,
    REFUSALS,
    asked_of_document,
    check_query,
    deadline,
    engine,
    gone,
    refused,
    timing,
)
from serving.extraction.extracted import Extracted, ExtractionError
from serving.extraction.kinds import MEDIA_TYPES, PLAIN, kind_of_name
from serving.openapi import body, problems, reference
from serving.problems import RequestProblem
from serving.results import PassageIn, Result
from serving.scheduler import DeadlineExceededError, HangError, QueueFullError, StoppedError
from serving.service import Service, service_of
from serving.settings import Settings
from serving.waiting import CallerGoneError, Item, score_in_order, unless_gone
from serving.wire import JSON, decode, encode_head, encode_result, encode_usage, media_type, options_of, read_body

router = APIRouter(dependencies=[Depends(needs("tag"))])
UPLOAD = "multipart/form-data"
_STATUS = {"extra_missing": 415, "unknown_type": 415, "too_large": 413}
"""Statuses of documents that cannot be read; the others are 422."""
_LINES_A_PASSAGE, _LINES_ANYWAY = 20, 1000
_PARTS_NAMED = 5
"""Of a form that has too many."""
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What a request holds: its options, and a text or the bytes of a document of some kind."""

    wanted: Asked
    texts: bool
    text: str | None = None
    content: bytes = b""
    kind: str = "text"


@router.post(
    "/v1/documents",
    operation_id="documents",
    summary="Tag the passages of a whole document",
    response_model=DocumentAnswer,
    responses=problems(400, *REFUSALS),
    openapi_extra=body(
        {
            JSON: reference("DocumentRequest"),
            "text/plain": {"schema": {"type": "string"}, "example": "We urge the Council to act."},
            "text/markdown": {"schema": {"type": "string"}, "example": "# Statement\n\n- freeze their assets\n"},
            **{kind: _BINARY for kind in MEDIA_TYPES if kind not in {"text/plain", "text/markdown"}},
            UPLOAD: {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY["schema"]}}},
        }
    ),
)
async def documents(request: Request, asked: Annotated[Asked, Depends(asked_of_document)]) -> Response:
    """Cut a document into passages and tag each, read with the lead-ins that it hangs on.

    Text and Markdown are read as they stand; HTML, PDF, DOCX, EPUB and e-mail with the extra `documents`. Offsets count in the
    extracted text, which `texts` shows passage by passage.
    """
    service = service_of(request)
    check_query(request, () if media_type(request) == JSON else DOCUMENT_OPTIONS)
    try:
        with service.room.hold(_most_bytes(request, service.settings), packed=not _is_plain(media_type(request))):
            return await _answer(request, service, asked)
    except QueueFullError as error:
        raise refused(asked, error) from error


async def _answer(request: Request, service: Service, asked: Asked) -> Response:
    started = time.monotonic()
    sent = await _sent(request, service, asked)
    classifier = engine(service)
    until = deadline(sent.wanted, started)
    left_alone = asyncio.ensure_future(gone(request))
    try:
        document = await _read(service, sent, left_alone, until)
        _check_lines(document.text, service.settings.max_document_passages)
        cutting = asyncio.get_running_loop().run_in_executor(service.cutter, split_passages, document.text)
        found = await unless_gone(cutting, left_alone, until)
    except (DeadlineExceededError, CallerGoneError) as error:
        raise refused(sent.wanted, error) from error
    except ExtractionError as error:
        pointer = {"pointer": "", "detail": error.code}
        raise RequestProblem(_STATUS.get(error.code, 422), f"the document {error.detail}", errors=[pointer]) from error
    finally:
        left_alone.cancel()
    cut = time.monotonic() - started
    limit = service.settings.max_document_passages
    if len(found) > limit:
        detail = f"{len(found)} passages, at most {limit} are allowed; `tagger score` takes documents of any length"
        raise RequestProblem(422, detail)
    options = options_of(sent.wanted, classifier.manifest)
    results: list[Result] = []
    scoring = score_in_order(classifier, _each(found), options, deadline=until, gone=lambda: gone(request))
    try:
        results = [result async for _, result in scoring]
    except (DeadlineExceededError, CallerGoneError, HangError, StoppedError) as error:
        raise refused(sent.wanted, error) from error
    service.metrics.scored(results)
    counts = Counter(name for result in results for name in result.tags)
    answer = {
        **encode_head(classifier.manifest, options),
        "usage": encode_usage(results),
        "segmenter": classifier.manifest.segmenter,
        "characters": len(document.text),
        **({"notes": document.notes} if document.notes else {}),
        "tags": {name: counts[name] for name in classifier.manifest.tags},
        "results": [
            {**_place(document, passage, texts=sent.texts), **encode_result(str(index), result, sent.wanted)}
            for index, (passage, result) in enumerate(zip(found, results, strict=True))
        ],
    }
    return Response(json.dumps(answer, ensure_ascii=False), media_type=JSON, headers=timing(started, read=cut))


async def _read(service: Service, sent: _Sent, left_alone: asyncio.Future[None], until: float | None) -> Extracted:
    """The text of a document. Raises ExtractionError, CallerGoneError, DeadlineExceededError.

    A document whose turn has not come is not read once its caller has gone; one that is being read is read to its end.
    """
    if sent.text is not None:
        return Extracted(text=sent.text)
    reading = asyncio.get_running_loop().run_in_executor(service.reading, service.reader.read, sent.content, sent.kind)
    return await unless_gone(reading, left_alone, until)


def _check_lines(text: str, limit: int) -> None:
    """Raise RequestProblem for far more lines than passages are allowed: finding them would take seconds."""
    if (lines := text.count("\n")) > _LINES_A_PASSAGE * limit + _LINES_ANYWAY:
        detail = f"{lines} lines, of a document of at most {limit} passages; `tagger score` takes documents of any length"
        raise RequestProblem(422, detail)


def _place(document: Extracted, passage: Passage, *, texts: bool) -> dict[str, Any]:
    page = document.page_at(passage.start)
    return {
        "start": passage.start,
        "end": passage.end,
        **({} if page is None else {"page": page}),
        **({"text": passage.text, "context": passage.context} if texts else {}),
    }


def _is_plain(kind: str) -> bool:
    return kind == JSON or MEDIA_TYPES.get(kind) in PLAIN


def _most_bytes(request: Request, settings: Settings) -> int:
    """Bytes that the body can have: as many as it states, or as are allowed when it states none (chunked)."""
    kind = media_type(request)
    limit = settings.max_body_bytes if _is_plain(kind) else settings.max_document_bytes
    stated = request.headers.get("content-length", "")
    return min(int(stated), limit) if stated.isdecimal() and "transfer-encoding" not in request.headers else limit


async def _sent(request: Request, service: Service, asked: Asked) -> _Sent:
    kind = media_type(request)
    settings = service.settings
    if kind == JSON:
        return await _of_json(request, service)
    if kind == UPLOAD:
        return await _of_upload(request, service, asked)
    if kind not in MEDIA_TYPES:
        raise RequestProblem(415, f"the body is {kind!r}, send one of {', '.join((*MEDIA_TYPES, UPLOAD, JSON))}")
    plain = MEDIA_TYPES[kind] in PLAIN
    limit = settings.max_body_bytes if plain else settings.max_document_bytes
    content = await read_body(request, limit, settings.body_seconds)
    if plain:
        try:
            return _Sent(wanted=asked, texts=True, text=content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RequestProblem(400, f"the body is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from error
    return _Sent(wanted=asked, texts=True, content=content, kind=MEDIA_TYPES[kind])


async def _of_json(request: Request, service: Service) -> _Sent:
    content = await read_body(request, service.settings.max_body_bytes, service.settings.body_seconds)
    wanted = decode(content, DocumentRequest)
    try:
        wanted.text.encode()
    except UnicodeEncodeError as error:
        detail = f"character {error.start} is a lone surrogate"
        raise RequestProblem(422, detail, errors=[{"pointer": "/text", "detail": detail}]) from error
    return _Sent(wanted=wanted, texts=wanted.texts, text=wanted.text)


async def _of_upload(request: Request, service: Service, asked: Asked) -> _Sent:
    """The one file of a form; its name or its type says what it is."""
    content = await read_body(request, service.settings.max_document_bytes, service.settings.body_seconds)

    async def whole() -> AsyncGenerator[bytes, None]:
        yield content

    headers = Headers({"content-type": request.headers["content-type"]})
    try:
        form = await MultiPartParser(headers, whole(), max_part_size=service.settings.max_document_bytes).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise RequestProblem(400, f"the body is no form: {getattr(error, 'message', error)}") from error
    except AssertionError as error:  # how it says that python-multipart is missing
        detail = 'uploads need the extra `documents`: pip install "passage-tagger[documents]"'
        raise RequestProblem(415, detail) from error
    try:
        file, parts = form.get("file"), form.multi_items()
        if not isinstance(file, UploadFile) or len(parts) != 1:
            held = ", ".join(_named(name, value) for name, value in parts[:_PARTS_NAMED]) or "none"
            detail = f"send one file, in the field `file`; this form has {len(parts)} parts: {held}"
            raise RequestProblem(422, detail, errors=[{"pointer": "/file", "detail": "one file"}])
        sent = (file.content_type or "").partition(";")[0].strip().lower()
        kind = kind_of_name(file.filename or "") or MEDIA_TYPES.get(sent)
        if kind is None:
            raise RequestProblem(415, f"the file {file.filename!r} is of no known type ({', '.join(MEDIA_TYPES)})")
        return _Sent(wanted=asked, texts=True, content=await file.read(), kind=kind)
    finally:
        await form.close()


def _named(name: str, part: UploadFile | str) -> str:
    return f"{name} ({part.filename!r})" if isinstance(part, UploadFile) else name


async def _each(passages: list[Passage]) -> AsyncIterator[Item]:
    for index, passage in enumerate(passages):
        yield Item(id=str(index), passage=PassageIn(text=passage.text, context=passage.context))
