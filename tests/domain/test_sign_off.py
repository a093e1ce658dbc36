"""People sign what no run can answer."""

import hashlib
import io
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from releases.domain import evidence, gate
from releases.domain import release as releases
from releases.enums import EvidenceSource, EvidenceVerdict, ItemState
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Evidence, LedgerEntry, Release
from tests.factories import Team

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]


def test_a_signature_with_an_attachment_answers_the_item(release: Release, team: Team) -> None:
    item = release.items.get(key="security.review")
    signed = evidence.sign_off(
        item=item,
        author=team.engineer,
        statement="Read the session code.",
        attachment=("../notes.pdf", io.BytesIO(b"notes")),
    )
    assert signed.build_digest == release.build_digest
    assert signed.artifacts[0]["name"] == "notes.pdf"
    assert signed.artifacts[0]["sha256"] == hashlib.sha256(b"notes").hexdigest()
    status = next(each for each in gate.evaluate(release).items if each.item == item)
    assert (status.state, status.evidence) == (ItemState.PASSED, signed)
    entry = LedgerEntry.objects.get(action="evidence.recorded", subject_id=str(signed.pk))
    assert (entry.actor_id, entry.document["item"]) == (team.engineer.pk, "security.review")


def test_a_person_can_say_no(release: Release, team: Team) -> None:
    item = release.items.get(key="testing.acceptance")
    evidence.sign_off(item=item, author=team.engineer, statement="The export is broken.", passed=False)
    found = gate.evaluate(release)
    assert found.verdict == "no_go"
    assert found.blockers[0].text == "The export is broken."


def test_it_refuses_viewers_auditors_and_administrators(release: Release, team: Team) -> None:
    for person in (team.viewer, team.auditor, team.administrator):
        with pytest.raises(NotAllowed, match="role engineer or approver or release manager"):
            evidence.sign_off(item=release.items.get(key="security.review"), author=person, statement="Fine.")


def test_it_refuses_what_a_run_or_a_receipt_answers(release: Release, team: Team) -> None:
    with pytest.raises(DomainError, match=r"answered by the run of checks\.unit, not by a signature"):
        evidence.sign_off(item=release.items.get(key="testing.unit"), author=team.manager, statement="Trust me.")
    with pytest.raises(DomainError, match="answered by the receipt of a test-alert"):
        evidence.sign_off(item=release.items.get(key="monitoring.alert"), author=team.manager, statement="Rang.")


def test_it_refuses_an_empty_or_endless_statement(release: Release, team: Team) -> None:
    item = release.items.get(key="security.review")
    with pytest.raises(DomainError, match="Say what you looked at"):
        evidence.sign_off(item=item, author=team.manager, statement=" ")
    with pytest.raises(DomainError, match="longer than 500 characters"):
        evidence.sign_off(item=item, author=team.manager, statement="x" * 501)


def test_it_refuses_a_release_that_was_cancelled(release: Release, team: Team) -> None:
    releases.cancel(release=release, actor=team.manager, reason="Enough.")
    with pytest.raises(StateChanged, match="The release is “cancelled”"):
        evidence.sign_off(item=release.items.get(key="security.review"), author=team.manager, statement="Fine.")


def test_it_refuses_too_large_an_attachment(release: Release, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MAX_ATTACHMENT_BYTES", 10)
    with pytest.raises(DomainError, match="larger than 50 MB"):
        evidence.sign_off(
            item=release.items.get(key="security.review"),
            author=team.manager,
            statement="See the scan.",
            attachment=("scan", io.BytesIO(b"12345678901")),
        )
    assert not Evidence.objects.exists()


def test_a_run_gives_its_evidence_once(release: Release) -> None:
    facts = {
        "release": release,
        "source": EvidenceSource.RUN,
        "kind": "suite",
        "section": "checks.unit",
        "section_digest": release.plan_version.sections["checks.unit"],
        "environment": release.source_environment,
        "build_digest": release.build_digest,
        "verdict": EvidenceVerdict.PASSED,
        "summary": "12 tests passed",
        "run_id": uuid4(),
    }
    evidence.record(**facts)
    with pytest.raises(DomainError, match="This run has given its evidence already"):
        evidence.record(**facts)
    assert Evidence.objects.count() == 1


@pytest.mark.parametrize("deed", ["update", "delete"])
def test_the_database_keeps_evidence_as_it_was_written(release: Release, team: Team, deed: str) -> None:
    evidence.sign_off(item=release.items.get(key="security.review"), author=team.manager, statement="No.", passed=False)
    rows = Evidence.objects.filter(release=release)
    with pytest.raises(IntegrityError, match=f"{deed.upper()} is refused"), transaction.atomic():
        rows.update(verdict=EvidenceVerdict.PASSED) if deed == "update" else rows.delete()
