"""The risk register of a release: made from the defaults and the plan, opened by a run, assessed by two people."""

from django.db import transaction
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.domain.approval import refresh
from releases.domain.defaults import RiskSpec
from releases.domain.positions import RiskPosition as RiskPosition
from releases.domain.positions import risk_positions as risk_positions
from releases.domain.transition import lock
from releases.doorbell import ring_release
from releases.enums import Role, Treatment
from releases.errors import DomainError, NotAllowed
from releases.models import Release, Risk, RiskAssessment, User

#: What a plan says of a risk; what happened to it and what people think of it stays when another plan is adopted.
_BY_PLAN = [
    "position", "title", "description", "owner", "inherent_likelihood", "inherent_impact", "residual_likelihood",
    "residual_impact", "appetite", "mitigations",
]  # fmt: skip


def instantiate(*, release: Release, specs: list[RiskSpec]) -> None:
    """Bring the register of a release in line with the specs. A risk that was assessed is never deleted."""
    wanted = [
        Risk(
            release=release,
            key=spec.key,
            position=position,
            title=spec.title,
            description=spec.description,
            owner=spec.owner,
            inherent_likelihood=spec.inherent[0],
            inherent_impact=spec.inherent[1],
            residual_likelihood=spec.residual[0],
            residual_impact=spec.residual[1],
            appetite=spec.appetite,
            mitigations=[{"text": text, "items": list(items)} for text, items in spec.mitigations],
        )
        for position, spec in enumerate(specs)
    ]
    gone = list(release.risks.exclude(key__in=[risk.key for risk in wanted]))
    Risk.objects.bulk_create(wanted, update_conflicts=True, unique_fields=["release", "key"], update_fields=_BY_PLAN)
    for risk in gone:
        if risk.opened_at is None and not risk.assessments.exists():
            risk.delete()


@transaction.atomic
def open_risk(*, release: Release, key: str, reason: str, run_number: int) -> Risk:
    """Something happened that no mitigation explains: the risk stands at its worst until two people assess it anew.

    Assessments of before count no more. A release that was approved goes back to deciding. DomainError where the
    register has no such risk.
    """
    locked = lock(release)
    risk = Risk.objects.filter(release=locked, key=key).first()
    if risk is None:
        raise DomainError(f"The register of {locked} has no risk {key}, so it could not be opened.")
    risk.opened_at, risk.opened_because = timezone.now(), reason[:2000]
    risk.save(update_fields=["opened_at", "opened_because"])
    ledger.append(
        action="risk.opened",
        actor=None,
        subject=risk,
        application=locked.application,
        release=locked,
        document={"risk": key, "reason": risk.opened_because, "run": run_number},
    )
    ring_release(locked.pk, "risk")
    refresh(release=locked)
    return risk


@transaction.atomic
def assess(*, risk: Risk, author: User, likelihood: int, impact: int, treatment: str, reason: str) -> RiskAssessment:
    """Propose where a risk stands and how it is treated. Counts once a second person has confirmed it."""
    release = lock(risk.release)
    permissions.require(author, release.application, Role.ENGINEER, Role.APPROVER, Role.RELEASE_MANAGER)
    if not (1 <= likelihood <= 5 and 1 <= impact <= 5):
        raise DomainError("Likelihood and impact are whole numbers from 1 to 5. Nothing was recorded.")
    if treatment not in Treatment.values:
        raise DomainError(f"There is no treatment called {treatment!r}. Nothing was recorded.", field="treatment")
    if not reason.strip():
        raise DomainError("Say why the risk stands there. Nothing was recorded.", field="reason")
    assessment = RiskAssessment.objects.create(
        risk=risk,
        likelihood=likelihood,
        impact=impact,
        treatment=treatment,
        reason=reason.strip(),
        author=author,
        created_at=timezone.now(),
    )
    _tell("risk.assessed", assessment, author, release)
    return assessment


@transaction.atomic
def confirm_assessment(*, assessment: RiskAssessment, actor: User) -> RiskAssessment:
    """The second signature under an assessment: an approver or release manager, not its author, not the requester."""
    release = lock(assessment.risk.release)
    permissions.require(actor, release.application, Role.APPROVER, Role.RELEASE_MANAGER)
    if actor.pk == assessment.author_id:
        raise NotAllowed("You made this assessment; a second person must confirm it. Nothing was changed.")
    if actor.pk == release.requester_id:
        raise NotAllowed("You requested this release, so you cannot confirm its risks. Nothing was changed.")
    if Risk.objects.filter(pk=assessment.risk_id, opened_at__gte=assessment.created_at).exists():
        raise DomainError("The risk was opened after this assessment was made; assess it anew. Nothing was changed.")
    newer = RiskAssessment.objects.filter(
        risk=assessment.risk_id, created_at__gt=assessment.created_at, confirmed_at__isnull=False
    )
    if newer.exists():
        raise DomainError("A newer assessment of this risk counts already. Nothing was changed.")
    changed = RiskAssessment.objects.filter(pk=assessment.pk, confirmed_at__isnull=True).update(
        confirmed_by=actor, confirmed_at=timezone.now()
    )
    if not changed:
        raise DomainError("This assessment was confirmed already. Nothing was changed.")
    assessment.refresh_from_db()
    _tell("risk.confirmed", assessment, actor, release)
    refresh(release=release)
    return assessment


def _tell(action: str, assessment: RiskAssessment, actor: User, release: Release) -> None:
    ledger.append(
        action=action,
        actor=actor,
        subject=assessment.risk,
        application=release.application,
        release=release,
        document={
            "risk": assessment.risk.key,
            "likelihood": assessment.likelihood,
            "impact": assessment.impact,
            "treatment": assessment.treatment,
            "reason": assessment.reason,
        },
    )
    ring_release(release.pk, "risk")
