"""E-mail (.eml): subject, body, and the attachments that are documents themselves, one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from email import policy
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser

from serving.extraction.extracted import Extracted, ExtractionError, Source
from serving.extraction.kinds import MEDIA_TYPES, kind_of_name
from serving.extraction.markup import page_text
from serving.extraction.plain import decode

_MESSAGE = "message/rfc822"
_NO_TEXT = frozenset({"image", "audio", "video", "font"})
_NO_DOCUMENTS = frozenset(
    {
        "application/pgp-signature",
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
        "text/calendar",
        "text/x-vcard",
    }
)
Reader = Callable[[Source], Extracted]


def read_mail(source: Source, reader: Reader) -> Extracted:
    """A message; `reader` reads its attachments. Raises ExtractionError."""
    if source.depth > source.limits.depth:
        raise ExtractionError("too_deep", f"messages are nested more than {source.limits.depth} deep")
    try:
        message = BytesParser(policy=policy.default).parsebytes(source.content)
    except (MessageError, ValueError, LookupError) as error:
        raise ExtractionError("damaged", f"is no e-mail: {error}") from error
    if not any(name in message for name in ("from", "to", "subject", "date", "received", "message-id")):
        raise ExtractionError("damaged", "is no e-mail: it has none of the headers From, To, Subject, Date, Message-ID")
    texts = [f"# {subject}"] if (subject := _header(message, "subject")) else []
    notes: list[str] = []
    body = message.get_body(preferencelist=("plain", "html"))
    if body is not None:
        texts.append(_body(body))
    for part in _documents(message, body):
        name = part.get_filename() or part.get_content_type()
        found, note = _attachment(part, name, source, reader)
        texts.append(found)
        notes += [f"the attachment {name!r} {note}"] if note else []
    text = "\n\n".join(text.strip("\r\n") for text in texts if text.strip())
    if not text:
        raise ExtractionError("no_text", "the message holds no text")
    return Extracted(text=text + "\n", notes=tuple(notes))


def _documents(part: MIMEPart, body: MIMEPart | None, *, alternative: bool = False) -> Iterator[MIMEPart]:
    """The parts that may be documents, at any depth of a message but not within messages in it.

    Other versions of the body are left out, and what holds no text: pictures, sounds, signatures, dates.
    """
    kind = part.get_content_type()
    if part is body:
        return
    if part.get_content_maintype() == "multipart":
        for inner in part.iter_parts():
            yield from _documents(inner, body, alternative=kind == "multipart/alternative")
        return
    other_version = alternative and part.get_content_maintype() == "text"
    if part.get_content_maintype() not in _NO_TEXT and kind not in _NO_DOCUMENTS and not other_version:
        yield part


def _attachment(part: MIMEPart, name: str, source: Source, reader: Reader) -> tuple[str, str]:
    """The text of an attachment, and what is wrong with it. Raises ExtractionError for messages nested too deep."""
    kind = MEDIA_TYPES.get(part.get_content_type()) or kind_of_name(name)
    if kind is None:
        return "", f"is of a type that is not read ({part.get_content_type()})"
    try:
        return reader(replace(source, content=_attached(part), kind=kind, depth=source.depth + 1)).text, ""
    except ExtractionError as error:
        if error.code == "too_deep" and part.get_content_type() == _MESSAGE:
            raise
        return "", error.detail
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001 - what the libraries raise on a damaged attachment is its own matter
        return "", f"cannot be read: {type(error).__name__}"


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except Exception:  # noqa: BLE001 - the header parser fails in many ways on what spam holds
        return ""


def _body(part: MIMEPart) -> str:
    content = part.get_payload(decode=True)
    text = decode(content if isinstance(content, bytes) else b"", charset=part.get_content_charset())
    return page_text(text) if part.get_content_subtype() == "html" else text.replace("\r\n", "\n")


def _attached(part: MIMEPart) -> bytes:
    if part.get_content_type() == _MESSAGE:
        inner = part.get_payload(0)
        return inner.as_bytes() if hasattr(inner, "as_bytes") else b""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise ExtractionError("damaged", "has no content")
    return content
