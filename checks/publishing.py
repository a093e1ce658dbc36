"""A plan's text becomes a plan version."""

import hashlib

from checks import plan as plans
from checks.errors import PlanError
from releases.domain.application import publish_plan
from releases.enums import Role
from releases.models import Application, PlanVersion, User
from releases.permissions import require


def publish(*, application: Application, text: str, author: User | None) -> PlanVersion:
    """Validate and publish. PlanError with every problem; DomainError when the role or the version refuses it."""
    if author is not None:
        # Reading a long text takes a while, so nobody may make the program read it who may not publish it.
        require(author, application, Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
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
