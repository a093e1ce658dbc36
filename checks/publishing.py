"""A plan's text becomes a plan version."""

import hashlib

from checks import plan as plans
from checks.errors import PlanError
from releases.domain.application import publish_plan
from releases.models import Application, PlanVersion, User


def publish(*, application: Application, text: str, author: User | None) -> PlanVersion:
    """Validate and publish. PlanError with every problem; DomainError when the role or the version refuses it."""
    plan = plans.parse(text)
    if plan.application != application.slug:
        raise PlanError([(1, 1, "application", f"this is a plan of {plan.application!r}, not of {application.slug!r}")])
    return publish_plan(
        application=application,
        text=text,
        document=plans.to_document(plan),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        sections=plans.section_digests(plan),
        author=author,
    )
