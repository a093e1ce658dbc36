"""Where each risk stands now: computed from its mitigations, or assessed by two people."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Final
from uuid import UUID

from django.db.models import Model

from releases import queries
from releases.domain.items import ItemStatus, item_statuses
from releases.enums import Treatment
from releases.models import Release, Risk, RiskAssessment

#: Impact and likelihood have five steps; the highest score is 25.
WORST: Final = 25
WORST_STEP: Final = 5


@dataclass(frozen=True)
class Mitigation:
    """One mitigation with the statuses of its items; proven only when every item is answered by evidence."""

    text: str
    items: tuple[ItemStatus, ...]
    missing: tuple[str, ...]

    @property
    def proven(self) -> bool:
        return bool(self.items) and not self.missing and all(item.proven for item in self.items)


@dataclass(frozen=True)
class RiskPosition:
    """A risk as it stands. ``assessment``: the confirmed one that overrides the computation; ``proposal``: a newer
    one that a second person has not confirmed, which does not count. ``opened``: it waits for two signatures."""

    risk: Risk
    likelihood: int
    impact: int
    treatment: Treatment
    mitigations: tuple[Mitigation, ...]
    assessment: RiskAssessment | None
    proposal: RiskAssessment | None
    reachable: int
    opened: bool = False

    @property
    def score(self) -> int:
        return self.likelihood * self.impact

    @property
    def proven(self) -> int:
        return sum(mitigation.proven for mitigation in self.mitigations)

    @property
    def over_appetite(self) -> bool:
        return self.score > self.risk.appetite

    @property
    def accepted(self) -> bool:
        """Two people confirmed that the company lives with it."""
        return self.assessment is not None and self.treatment == Treatment.ACCEPT

    @property
    def blocks(self) -> bool:
        """Opened; or over appetite, not accepted, and not only because items are open which block by themselves.

        ``reachable`` is the score once every blocking item is answered; those items are named as blockers already.
        """
        return self.opened or (self.over_appetite and not self.accepted and self.reachable > self.risk.appetite)

    @property
    def reason(self) -> str:
        if self.opened:
            return f"Opened: {self.risk.opened_because} Two people must say where it stands."
        if self.assessment is not None:
            people = f"{self.assessment.author} and {self.assessment.confirmed_by}"
            return f"Assessed by {people}: {self.assessment.reason}"
        if not self.mitigations:
            return "There is no mitigation."
        return f"{self.proven} of {len(self.mitigations)} mitigations are proven."


@dataclass(frozen=True)
class RiskFacts:
    """Risks and assessments of any number of releases, read in two queries."""

    risks: Mapping[UUID, list[Risk]]
    assessments: Mapping[int, list[RiskAssessment]]

    def people(self) -> Iterable[tuple[Model, str]]:
        """Where somebody is named; ``releases.queries.name_people`` loads them."""
        for found in self.assessments.values():
            yield from ((each, who) for each in found for who in ("author", "confirmed_by"))


def load_risks(releases: Sequence[Release]) -> RiskFacts:
    """Read risks and assessments; people are not loaded yet."""
    risks: dict[UUID, list[Risk]] = defaultdict(list)
    for risk in queries.risks(releases):
        risks[risk.release_id].append(risk)
    assessments: dict[int, list[RiskAssessment]] = defaultdict(list)
    for assessment in queries.assessments(releases):
        assessments[assessment.risk_id].append(assessment)
    return RiskFacts(risks, assessments)


def risk_positions(release: Release, at: datetime) -> list[RiskPosition]:
    """The whole register as it stands at ``at``, in a fixed number of queries."""
    facts = load_risks([release])
    queries.name_people(facts.people())
    return compute_risks(release, facts, item_statuses(release, at))


def compute_risks(release: Release, facts: RiskFacts, items: Sequence[ItemStatus]) -> list[RiskPosition]:
    by_key = {status.item.key: status for status in items}
    return [_position(risk, facts.assessments.get(risk.pk, []), by_key) for risk in facts.risks.get(release.pk, [])]


def current(risk: Risk, proven: Fraction) -> tuple[int, int]:
    """(likelihood, impact) when this share of the mitigations is proven, rounded towards the inherent position."""

    def along(inherent: int, residual: int) -> int:
        return inherent - floor(proven * max(inherent - residual, 0))

    return (
        along(risk.inherent_likelihood, risk.residual_likelihood),
        along(risk.inherent_impact, risk.residual_impact),
    )


def _position(risk: Risk, assessments: Sequence[RiskAssessment], by_key: Mapping[str, ItemStatus]) -> RiskPosition:
    mitigations = tuple(_mitigation(entry, by_key) for entry in risk.mitigations)
    newest = sorted(assessments, key=lambda each: each.created_at, reverse=True)
    since = risk.opened_at
    counted = [each for each in newest if since is None or each.created_at > since]
    assessment = next((each for each in counted if each.confirmed_at and each.confirmed_by_id), None)
    proposal = next((each for each in counted if not each.confirmed_at), None)
    if proposal and assessment and proposal.created_at < assessment.created_at:
        proposal = None
    if since is not None and assessment is None:
        worst = WORST_STEP * risk.inherent_impact
        treated = Treatment(risk.treatment)
        return RiskPosition(
            risk, WORST_STEP, risk.inherent_impact, treated, mitigations, None, proposal, worst, opened=True
        )
    if assessment is not None:
        likelihood, impact, treatment = assessment.likelihood, assessment.impact, assessment.treatment
        reachable = likelihood * impact
    else:
        likelihood, impact = current(risk, _share([each.proven for each in mitigations]))
        best = current(risk, _share([_within_reach(each) for each in mitigations]))
        treatment, reachable = risk.treatment, best[0] * best[1]
    return RiskPosition(risk, likelihood, impact, Treatment(treatment), mitigations, assessment, proposal, reachable)


def _mitigation(entry: Mapping[str, object], by_key: Mapping[str, ItemStatus]) -> Mitigation:
    keys = entry.get("items")
    keys = [str(key) for key in keys] if isinstance(keys, list) else []
    found = tuple(by_key[key] for key in keys if key in by_key)
    return Mitigation(str(entry.get("text", "")), found, tuple(key for key in keys if key not in by_key))


def _share(proven: Sequence[bool]) -> Fraction:
    return Fraction(sum(proven), len(proven)) if proven else Fraction(0)


def _within_reach(mitigation: Mitigation) -> bool:
    """Proven, or held up only by blocking items, each of which closes the gate by itself."""
    ready = (item.proven or (item.item.blocking and not item.green) for item in mitigation.items)
    return bool(mitigation.items) and not mitigation.missing and all(ready)
