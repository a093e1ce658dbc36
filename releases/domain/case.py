"""User acceptance by scripted cases: people walk them, each verdict is kept, together they answer one item.

The item holds when every case of the release's plan was passed with this build. One that failed or is blocked says no
at once; one that nobody has walked, or that was changed or walked with another build, leaves the item open.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any, Final
from uuid import uuid4

import rfc8785
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from releases import permissions
from releases.domain import evidence, ledger
from releases.domain.items import ACCEPTANCE_ITEM, ACCEPTANCE_SECTION
from releases.domain.transition import lock, refusal
from releases.doorbell import ring_release
from releases.enums import CaseVerdict, EvidenceSource, EvidenceVerdict, Role
from releases.errors import DomainError, StateChanged
from releases.models import CaseResult, ChecklistItem, Environment, Release, User

MAX_SCREENSHOT_BYTES: Final = 10 * 1024**2
MAX_NOTE: Final = 2000
TESTERS: Final = (Role.ENGINEER, Role.APPROVER, Role.RELEASE_MANAGER)
#: The first bytes of what may be shown as a picture.
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


@dataclass(frozen=True)
class Case:
    """A scripted case of the plan with the newest verdict that counts: about this build, and the case as it stands."""

    key: str
    title: str
    steps: Sequence[str]
    expected: str
    digest: str
    result: CaseResult | None = None
    #: A verdict that no longer counts, where there is none that does.
    outdated: CaseResult | None = None

    @property
    def state(self) -> str:
        return self.result.verdict if self.result else "outdated" if self.outdated else "open"


def cases_of(release: Release) -> list[Case]:
    """The cases of the release's plan, in its order, each with its verdict; none where the plan has none."""
    section = release.plan_version.document.get("acceptance") or {}
    newest: dict[str, CaseResult] = {}
    for result in release.case_results.select_related("tester"):
        newest.setdefault(result.case, result)
    return [_case(release, document, newest.get(document["key"])) for document in section.get("cases", [])]


def _case(release: Release, document: Mapping[str, Any], newest: CaseResult | None) -> Case:
    digest = hashlib.sha256(rfc8785.dumps(dict(document))).hexdigest()
    counts = newest is not None and newest.build_digest == release.build_digest and newest.case_digest == digest
    return Case(
        key=document["key"], title=document["title"], steps=document["steps"], expected=document["expected"],
        digest=digest, result=newest if counts else None, outdated=None if counts else newest,
    )  # fmt: skip


def runs_instead(release: Release) -> str:
    """What runs where people walk, if it is not this release's build, with what to do; empty where it is.

    Asked anew: the caller's object may be older than the lock that it holds.
    """
    place = Environment.objects.get(pk=release.source_environment_id)
    if place.current_build_digest == release.build_digest:
        return ""
    running = place.current_version or "a build that nobody can name"
    if running == release.version:
        running = f"another build of {running}"
    return (
        f"{place.name} runs {running}, not the build of {release.version}, so nobody can walk its cases there. Deploy "
        f"it to {place.name} first, and walk the case anew."
    )


def judge_case(
    *, release: Release, key: str, verdict: str, tester: User, note: str = "",
    screenshot: tuple[str, IO[bytes]] | None = None, case_digest: str | None = None,
) -> CaseResult:  # fmt: skip
    """Keep what a person found, write the ledger, and answer the checklist's item where there is an answer.

    ``screenshot``: (file name, bytes), a picture of at most 10 MB. ``case_digest``: the case as the person saw it;
    another one now raises StateChanged. Raises NotAllowed, StateChanged, DomainError.
    """
    permissions.require(tester, release.application, *TESTERS)
    _refuse_words(verdict, note)
    with ExitStack() as unless_refused, transaction.atomic():
        kept = _keep(release, *screenshot) if screenshot else {}
        if kept:
            unless_refused.callback(default_storage.delete, kept["key"])
        locked = lock(release)
        if locked.state not in evidence.SIGNABLE:
            raise StateChanged(refusal(locked.state, evidence.SIGNABLE))
        case = next((each for each in cases_of(locked) if each.key == key), None)
        if case is None:
            raise DomainError(f"The plan of {locked} has no case {key!r}. Nothing was recorded.")
        if case_digest is not None and case_digest != case.digest:
            raise StateChanged(
                "The case was changed since you opened its page, so you would judge steps that you did not see. "
                "Nothing was recorded; read them as they stand now, and judge it again."
            )
        instead = runs_instead(locked)
        if instead:
            raise StateChanged(f"{instead} Nothing was recorded.")
        result = CaseResult.objects.create(
            release=locked, case=key, case_digest=case.digest, build_digest=locked.build_digest, verdict=verdict,
            note=note.strip(), screenshot=kept, tester=tester, recorded_at=timezone.now(),
        )  # fmt: skip
        ledger.append(
            action="case.judged", actor=tester, subject=result, application=locked.application, release=locked,
            document={
                "case": key, "title": case.title, "case_digest": case.digest, "build_digest": locked.build_digest,
                "verdict": verdict, "note": result.note,
                "screenshot": {name: kept[name] for name in ("name", "sha256")} if kept else None,
            },
        )  # fmt: skip
        answer_item(locked, tester)
        ring_release(locked.pk, "evidence")
        unless_refused.pop_all()
    release.state, release.state_since = locked.state, locked.state_since
    return result


def _refuse_words(verdict: str, note: str) -> None:
    if verdict not in CaseVerdict.values:
        raise DomainError("Say whether it passed, failed or is blocked. Nothing was recorded.", field="verdict")
    if verdict != CaseVerdict.PASSED and not note.strip():
        raise DomainError("Say what you saw instead. Nothing was recorded.", field="note")
    if len(note.strip()) > MAX_NOTE:
        raise DomainError(f"The note is longer than {MAX_NOTE} characters. Nothing was recorded.", field="note")


def answer_item(release: Release, tester: User | None = None) -> None:
    """Evidence for the item: no as soon as a case failed, yes when all passed, nothing in between.

    ``tester``: whose verdict it is; None where the plan changed, and then whoever walked last.
    """
    item = ChecklistItem.objects.filter(release=release, key=ACCEPTANCE_ITEM).first()
    cases = cases_of(release)
    walked = [case for case in cases if case.result]
    if item is None or not walked:
        return
    bad = [case for case in walked if case.result and case.result.verdict != CaseVerdict.PASSED]
    section_digest = release.plan_version.sections[ACCEPTANCE_SECTION]
    before = item.sign_offs.filter(build_digest=release.build_digest, section_digest=section_digest).first()
    if bad:
        verdict = EvidenceVerdict.FAILED
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        said = f"{bad[0].title}: {bad[0].state}, {bad[0].result.note}{more}"  # type: ignore[union-attr]
    elif len(walked) == len(cases):
        verdict, said = EvidenceVerdict.PASSED, f"{len(cases)} of {len(cases)} cases passed."
    elif before is not None and before.verdict != EvidenceVerdict.INCONCLUSIVE:
        verdict, said = EvidenceVerdict.INCONCLUSIVE, f"{len(walked)} of {len(cases)} cases were walked."
    else:
        return
    evidence.record(
        release=release, source=EvidenceSource.SIGN_OFF, kind="acceptance", section=ACCEPTANCE_SECTION,
        section_digest=section_digest, build_digest=release.build_digest,
        verdict=verdict, summary=said, item=item, author=tester or _walked_last(walked),
        figures={
            "cases": len(cases), "passed": len(walked) - len(bad), "not_passed": len(bad),
            "tester_ids": sorted({case.result.tester_id for case in walked if case.result}),
        },
        artifacts=[{**case.result.screenshot, "name": f"{case.key}-{case.result.screenshot['name']}"}
                   for case in walked if case.result and case.result.screenshot],
    )  # fmt: skip


def _walked_last(walked: Sequence[Case]) -> User | None:
    results = [case.result for case in walked if case.result]
    return max(results, key=lambda result: result.recorded_at).tester if results else None


def _keep(release: Release, name: str, content: IO[bytes]) -> dict[str, Any]:
    head = content.read(16)
    content.seek(0)
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    if not webp and not head.startswith(_PICTURES):
        raise DomainError("A screenshot is a PNG, JPEG, GIF or WebP file. Nothing was recorded.", field="screenshot")
    hasher, size = hashlib.sha256(), 0
    while chunk := content.read(1024 * 1024):
        hasher.update(chunk)
        size += len(chunk)
        if size > MAX_SCREENSHOT_BYTES:
            raise DomainError("The screenshot is larger than 10 MB. Nothing was recorded.", field="screenshot")
    content.seek(0)
    safe = PurePath(name).name[-100:] or "screenshot"
    key = default_storage.save(f"acceptance/{release.pk}/{uuid4()}/{safe}", File(content))
    return {"name": safe, "key": key, "size": size, "sha256": hasher.hexdigest()}
