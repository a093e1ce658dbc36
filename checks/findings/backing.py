"""Whether the people who accepted a finding may still do so: both active, each in a role that allows it."""

from collections.abc import Iterable
from typing import Final

from django.db.models import Exists, OuterRef, Q

from checks.models import Acceptance
from releases.enums import Role
from releases.models import Membership

#: Who may own an acceptance, and who may give the second signature.
ASKERS: Final = (Role.ENGINEER, Role.RELEASE_MANAGER)
APPROVERS: Final = (Role.APPROVER, Role.RELEASE_MANAGER)


def is_backed() -> Q:
    """The same as ``backed``, for a query of acceptances."""
    asked = _holds("requested_by", ASKERS)
    agreed = _holds("approved_by", APPROVERS)
    return Q(asked) & (Q(approved_by__isnull=True) | Q(agreed))


def backed(acceptances: Iterable[Acceptance]) -> frozenset[int]:
    """Primary keys of those whose signers may still sign; one query."""
    keys = [acceptance.pk for acceptance in acceptances]
    return frozenset(Acceptance.objects.filter(is_backed(), pk__in=keys).values_list("pk", flat=True))


def _holds(who: str, roles: tuple[Role, ...]) -> Exists:
    return Exists(
        Membership.objects.filter(
            application=OuterRef("finding__application"), user=OuterRef(who), user__is_active=True, role__in=roles
        )
    )
