"""The API by which CI sends reports: one report, about one build, for one section of its plan."""

import re
import uuid
from pathlib import PurePath
from typing import Any, Final

from django.conf import settings
from django.core.files.storage import default_storage
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import get_valid_filename
from ninja import File, Form, Router, Schema, Status
from ninja.files import UploadedFile
from ninja.security import HttpBearer
from ninja.throttling import SimpleRateThrottle
from pydantic import ValidationError

from checks import services, uploads
from checks.api import RunOut, run_out
from checks.kinds.base import Kind, get_kind, uploads_of
from checks.kinds.suite import UPLOADS
from checks.models import Run
from checks.plan import from_document
from checks.uploading import digest_of, judged_before
from releases.domain.token import token_of
from releases.enums import ReleaseState
from releases.errors import DomainError
from releases.models import Application, Release, ReportToken
from releases.permissions import require, visible_applications

MAX_REPORT_BYTES: Final = 200_000_000
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_OVER: Final = (ReleaseState.CANCELLED,)


class ReportKey(HttpBearer):
    """``Authorization: Bearer gonogo_…``; issued on the application's page."""

    def authenticate(self, request: HttpRequest, token: str) -> ReportToken | None:
        return token_of(token)


class PerKey(SimpleRateThrottle):
    """So many a minute with one key, whoever's it is and whatever it is called."""

    scope = "send"

    def get_cache_key(self, request: HttpRequest) -> str | None:
        token = getattr(request, "auth", None)
        return f"report-key-{self.scope}-{token.pk}" if isinstance(token, ReportToken) else None


class Asking(PerKey):
    scope = "ask"


#: A matrix of CI sends a report from each of its jobs, and asks every few seconds.
SENDING, ASKING = PerKey("60/m"), Asking("600/m")
router = Router(tags=["Reports"], auth=ReportKey())


@router.post("/reports", response={201: RunOut}, operation_id="send_report", throttle=SENDING)
def send_report(
    request: HttpRequest,
    build: Form[str],
    section: Form[str],
    report: File[UploadedFile],
    coverage: File[UploadedFile | None] = None,
) -> Status[RunOut]:
    """A report in JUnit XML about the build of this SHA-256 becomes a run of this section, for its release alone.

    ``coverage``: Cobertura XML of the same run, where there is one. The run is judged by a worker; ask
    for it by its number.
    """
    token: ReportToken = request.auth  # type: ignore[attr-defined]
    require(token.owner, token.application, *services.STARTERS)
    release = _release(token.application, build)
    check = from_document(release.plan_version.document).checks.get(section.removeprefix("checks."))
    if check is None or not uploads_of(get_kind(check.kind)):
        raise DomainError(f"Plan v{release.plan_version.number} has no section {section!r} that takes reports.",
                          field="section")  # fmt: skip
    section = f"checks.{section.removeprefix('checks.')}"
    files = {"uploaded": report} | ({"uploaded_coverage": coverage} if coverage is not None else {})
    for file in files.values():
        _refuse_longer(file)
    _refuse_answered(release, section, get_kind(check.kind), check.params, report)
    with uploads.kept_unless_refused() as kept:
        params = {name: _keep(release, file, kept) for name, file in files.items()}
        run = services.start_run(
            application=token.application, release=release, section=section,
            actor=token.owner, params=params,
        )  # fmt: skip
    return Status(201, run_out(run))


def _refuse_answered(release: Release, section: str, kind: Kind, planned: dict[str, Any], report: UploadedFile) -> None:
    """Before anything is kept: tests that the plan runs itself, and a report that a run has judged already."""
    try:
        kind.Params.model_validate({**planned, "uploaded": UPLOADS})
    except ValidationError as error:
        raise DomainError(f"{error.errors()[0]['msg']}. Nothing was kept.", field="section") from None
    earlier = judged_before(release.application, section, digest_of(report.chunks()))
    report.seek(0)
    if earlier is not None:
        raise DomainError(
            f"Run #{earlier.number} judged this very report already, byte for byte, so it says nothing new. Nothing"
            " was kept. Run the tests again and send what they write then.",
            field="report",
        )


class ReportOut(Schema):
    """What became of a report. ``state``: queued, running, passed, failed, errored, cancelled or lost."""

    number: int
    section: str
    build_digest: str
    state: str
    verdict: str
    summary: str
    error: str
    link: str


@router.get("/reports/{int:number}", response=ReportOut, operation_id="get_report", throttle=ASKING)
def get_report(request: HttpRequest, number: int) -> ReportOut:
    """What became of the run of this number, which the key's owner started for the key's application."""
    token: ReportToken = request.auth  # type: ignore[attr-defined]
    ours = Run.objects.filter(application__in=visible_applications(token.owner), started_by=token.owner)
    run = get_object_or_404(ours, application=token.application, number=number)
    names = ("number", "section", "build_digest", "state", "verdict", "summary", "error")
    link = f"{settings.PUBLIC_URL}{reverse('checks:run_detail', args=[run.number])}"
    return ReportOut(**{name: getattr(run, name) for name in names}, link=link)


def _release(application: Application, build: str) -> Release:
    """The newest release of exactly this build; a report about a build that nobody releases answers nothing."""
    match = _DIGEST.fullmatch(build.strip().lower())
    if match is None:
        raise DomainError("A build is named by its SHA-256, 64 hexadecimal digits. Nothing was kept.", field="build")
    found = Release.objects.filter(application=application, build_digest=match[1]).exclude(state__in=_OVER)
    release = found.select_related("application", "plan_version").order_by("-created_at").first()
    if release is None:
        raise DomainError(
            f"No release of {application} is made of the build {match[1][:12]}…. Nothing was kept. Make the release "
            "of this build first, then send the report.",
            field="build",
        )
    return release


def _refuse_longer(file: UploadedFile) -> None:
    if file.size is None or file.size > MAX_REPORT_BYTES:
        raise DomainError(f"A report has at most {MAX_REPORT_BYTES:,} bytes. Nothing was kept.", field="report")


def _keep(release: Release, file: UploadedFile, kept: list[str]) -> str:
    """Kept in storage below the digest of the build that it was sent for; the run compares that with its own."""
    name = get_valid_filename(PurePath(file.name or "report.xml").name)[-80:]
    folder = f"{UPLOADS}/{release.application.slug}/sha256-{release.build_digest}"
    kept.append(default_storage.save(f"{folder}/{uuid.uuid4()}-{name}", file))
    return kept[-1]
