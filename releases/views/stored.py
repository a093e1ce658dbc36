"""Files kept in storage, as downloads."""

from django.core.files.storage import default_storage
from django.http import FileResponse, Http404


def stored_file(key: str, name: str) -> FileResponse:
    """The file kept under ``key``, offered as ``name``; Http404 where the storage has lost it."""
    try:
        content = default_storage.open(key)
    except FileNotFoundError:
        raise Http404(
            f"{name} was kept, but the storage does not hold it any more. What the ledger says of it still stands."
        ) from None
    return FileResponse(content, as_attachment=True, filename=name.rsplit("/")[-1])
