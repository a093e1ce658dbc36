"""The risk register of a release: made from the defaults and the plan, and assessed by two people."""

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


def instantiate(*, release: Release, specs: list[RiskSpec]) -> None:
    """Bring the register of a release in line with the specs. A risk that was assessed is never deleted."""
    present = {risk.key: risk for risk in release.risks.all()}
    for position, spec in enumerate(specs):
        values = {
            "position": position,
            "title": spec.title,
            "description": spec.description,
            "owner": spec.owner,
            "inherent_likelihood": spec.inherent[0],
            "inherent_impact": spec.inherent[1],
            "residual_likelihood": spec.residual[0],
            "residual_impact": spec.residual[1],
            "appetite": spec.appetite,
            "mitigations": [{"text": text, "items": list(items)} for text, items in spec.mitigations],
        }
        Risk.objects.update_or_create(release=release, key=spec.key, defaults=values)
        present.pop(spec.key, None)
    for risk in present.values():
        if not risk.assessments.exists():
            risk.delete()


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
