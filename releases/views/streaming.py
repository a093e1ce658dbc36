"""Answers of any length, sent in pieces from a synchronous generator."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

_PIECE = 1 << 16


def stream(request: HttpRequest, parts: Iterator[bytes], content_type: str, filename: str) -> StreamingHttpResponse:
    """A download that never stands in memory as a whole, under WSGI and under ASGI alike."""
    pieces = _pieces(parts)
    response = StreamingHttpResponse(
        # Django would read a synchronous iterator to its end before an ASGI server sends the first byte.
        _in_thread(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=content_type,
    )
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _pieces(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Gathers small parts into pieces worth sending."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(lambda: next(pieces, None))
    while (piece := await take()) is not None:
        yield piece
