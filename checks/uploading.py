"""Reports that were uploaded with a run: who vouches for one, and which run has read the same one already."""

import hashlib
from collections.abc import Iterable, Sequence

from checks.enums import RunState
from checks.models import Run
from releases.models import Application, User


def uploader_of(run: Run, names: Sequence[str]) -> User | None:
    """Who uploaded what stands under these parameters: that person vouches for it, as who signs does.

    Somebody else who runs the same report again takes nothing of that away.
    """
    names = [name for name in names if run.params.get(name)]
    first = run
    while names and first.retry_of is not None:
        earlier = first.retry_of
        if any(earlier.params.get(name) != run.params[name] for name in names):
            break
        first = earlier
    return first.started_by if names else None


def digest_of(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def judged_before(application: Application, section: str, digest: str, run: Run | None = None) -> Run | None:
    """The newest other run of a section that judged an uploaded report of the same bytes.

    One that could not be judged has said nothing yet.
    """
    judged = Run.objects.filter(application=application, section=section, result__digest=digest)
    judged = judged.filter(state__in=[RunState.PASSED, RunState.FAILED]).order_by("-number")
    return (judged.exclude(pk=run.pk) if run is not None else judged).first()
