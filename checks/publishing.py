"""From the text of a plan to a published version: parse, digest, keep."""

import hashlib

import rfc8785

from checks.plan import parse, section_digests, to_document
from releases.domain.application import publish_plan
from releases.models import Application, PlanVersion, User


def publish(*, application: Application, text: str, author: User | None) -> PlanVersion:
    """Publish a plan as the next version. Raises PlanError with the place of each problem, or DomainError.

    The digest is the SHA-256 of the plan's meaning (RFC 8785 JSON): a changed comment is no new version.
    """
    plan = parse(text)
    document = to_document(plan)
    return publish_plan(
        application=application,
        text=text,
        document=document,
        digest=hashlib.sha256(rfc8785.dumps(document)).hexdigest(),
        sections=section_digests(plan),
        author=author,
    )
