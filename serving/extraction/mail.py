"""E-mail (.eml): subject, body, and the attachments that are documents themselves, one after the other."""

from collections.abc import Callable
from dataclasses import replace
from email import policy
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser

from serving.extraction.extracted import Extracted, ExtractionError, Source
from serving.extraction.kinds import MEDIA_TYPES, kind_of_name
from serving.extraction.markup import page_text
from serving.extraction.plain import decode

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
    for part in message.iter_attachments():
        name = part.get_filename() or part.get_content_type()
        kind = MEDIA_TYPES.get(part.get_content_type()) or kind_of_name(name)
        if kind is None:
            continue  # a picture, a calendar entry: no text of the message
        try:
            content = _attached(part)
            texts.append(reader(replace(source, content=content, kind=kind, depth=source.depth + 1)).text)
        except ExtractionError as error:
            if error.code == "too_deep":
                raise
            notes.append(f"the attachment {name!r} {error.detail}")
    text = "\n\n".join(text.strip("\r\n") for text in texts if text.strip())
    if not text:
        raise ExtractionError("no_text", "the message holds no text")
    return Extracted(text=text + "\n", notes=tuple(notes))


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
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload(0)
        return inner.as_bytes() if hasattr(inner, "as_bytes") else b""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise ExtractionError("damaged", "has no content")
    return content
