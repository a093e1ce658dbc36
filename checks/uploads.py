"""Files that come in from people and programs, before there is a run that uses them."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.files.storage import default_storage


@contextmanager
def kept_unless_refused() -> Iterator[list[str]]:
    """Names in storage, to be added to as files are kept; where the block fails, none of them stays."""
    names: list[str] = []
    try:
        yield names
    except BaseException:
        for name in names:
            default_storage.delete(name)
        raise
