"""How a release changes its state: one conditional UPDATE, one ledger entry, one ring."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from releases.domain import ledger
from releases.domain.wording import listed
from releases.doorbell import ring_release
from releases.enums import RELEASE_TRANSITIONS, ReleaseState
from releases.errors import StateChanged
from releases.models import Release, User


def lock(release: Release) -> Release:
    """The release as the database has it, locked against every other verb until the transaction ends.

    NO KEY: rows that point at the release may still be written meanwhile.
    """
    return (
        Release.objects.select_for_update(no_key=True, of=("self",))
        .select_related("application", "plan_version", "source_environment", "target_environment", "requester")
        .get(pk=release.pk)
    )


def move(
    release: Release,
    *,
    to: ReleaseState,
    expected: Iterable[ReleaseState],
    action: str,
    actor: User | None,
    document: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Change the state from one of ``expected`` to ``to``, together with ``fields``. Must be called in a transaction.

    Raises StateChanged where the release is in none of the expected states; nothing is written then.
    """
    assert transaction.get_connection().in_atomic_block, "A change of state and its ledger entry belong together."
    before = Release.objects.values_list("state", flat=True).get(pk=release.pk)
    ways = [state for state in expected if to in RELEASE_TRANSITIONS[state]]
    now = timezone.now()
    changed = Release.objects.filter(pk=release.pk, state=before, state__in=ways).update(
        state=to, state_since=now, **fields
    )
    if not changed:
        found = Release.objects.values_list("state", flat=True).get(pk=release.pk)
        raise StateChanged(refusal(found, ways))
    release.state, release.state_since = to, now
    for name, value in fields.items():
        setattr(release, name, value)
    ledger.append(
        action=action,
        actor=actor,
        subject=release,
        application=release.application,
        release=release,
        document={"before": {"state": before}, "after": {"state": to.value}, **(document or {})},
    )
    ring_release(release.pk, "state")


def refusal(found: str, expected: Iterable[ReleaseState]) -> str:
    """The sentence for a verb that does not fit the state."""
    names = listed([f"“{state.label.lower()}”" for state in expected])
    label = ReleaseState(found).label.lower()
    return f"The release is “{label}”; this needs {names}. Nothing was changed; reload the page and look again."


def require_state(release: Release, *expected: ReleaseState) -> None:
    """Raise StateChanged unless the (locked) release is in one of these states."""
    if release.state not in expected:
        raise StateChanged(refusal(release.state, expected))
