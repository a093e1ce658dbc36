"""The default checklist and the default risk register, and how a plan changes them.

An item template names the *kind* of check that answers it. Where the plan has such a check in the right place, the
item asks for that check's run; where it has none, a person signs. Nothing falls away because a plan is short.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from releases.enums import Requirement
from releases.errors import DomainError

#: Counts the rules of the gate; part of every manifest, so that a change of rules makes votes stale.
POLICY_VERSION: Final = 1


@dataclass(frozen=True)
class ItemTemplate:
    """``place``: where the check must run: "source", "target", "not_target" or "any" environment of the plan.

    ``section``: a fixed section, rehearsed in the source environment. ``each``: one item for each check of the kind.
    ``only_checked``: no item where the plan has no such check, since nobody can sign this by looking.
    ``attested``: who signs it gives evidence, a file or a link, and says how long it holds.
    """

    key: str
    requirement: Requirement
    title: str
    description: str
    owner: str
    kinds: tuple[str, ...] = ()
    place: str = "any"
    section: str = ""
    receipt: str = ""
    valid_for: timedelta | None = None
    each: bool = False
    only_checked: bool = False
    attested: bool = False


@dataclass(frozen=True)
class ItemSpec:
    """An item as it will stand on the checklist of one release. ``environment`` is a name, or empty."""

    key: str
    template: str
    requirement: str
    title: str
    description: str
    owner: str
    section: str = ""
    receipt: str = ""
    environment: str = ""
    valid_for: timedelta | None = None
    attested: bool = False
    blocking: bool = True


@dataclass(frozen=True)
class RiskSpec:
    """A risk of the register: (likelihood, impact) before and after its mitigations, each 1 to 5."""

    key: str
    title: str
    description: str
    owner: str
    inherent: tuple[int, int]
    residual: tuple[int, int]
    mitigations: tuple[tuple[str, tuple[str, ...]], ...]
    appetite: int = 9


_T, _S, _C, _D, _B, _M = (
    Requirement.TESTING,
    Requirement.SECURITY,
    Requirement.SCALABILITY,
    Requirement.TRANSITION,
    Requirement.RECOVERY,
    Requirement.MONITORING,
)

CHECKLIST: Final[tuple[ItemTemplate, ...]] = (
    ItemTemplate(
        "testing.suite", _T, "The test suite passes", "Unit and integration tests of this build.", "Engineering",
        kinds=("suite",), place="not_target", each=True,
    ),
    ItemTemplate(
        "testing.smoke", _T, "The build answers in the rehearsal environment",
        "The declared addresses answer with the declared status, text and time.", "Engineering",
        kinds=("smoke",), place="source",
    ),
    ItemTemplate(
        "testing.parity", _T, "The rehearsal environment mirrors production",
        "Server, schema, packages, settings and headers of both, compared fact by fact.", "Operations",
        kinds=("parity",), place="source", only_checked=True,
    ),
    ItemTemplate(
        "testing.gate", _T, "The checks were seen to say no",
        "Known faults were planted in copies; the checks that were tried said no and named them.", "Engineering",
        kinds=("gate_test",), place="source", only_checked=True,
    ),
    ItemTemplate(
        "testing.acceptance", _T, "Users accepted the build",
        "A person who speaks for the users tried the build in the rehearsal environment.", "Product",
    ),
    ItemTemplate(
        "security.audit", _S, "The security audit is clean",
        "Known vulnerabilities, common web weaknesses, TLS, headers, cookies and log-in.", "Security",
        kinds=("audit",), place="not_target",
    ),
    ItemTemplate(
        "security.review", _S, "Encryption and authentication were reviewed",
        "Data in transit, sessions, passwords and roles, looked at by a person.", "Security",
    ),
    ItemTemplate(
        "security.at_rest", _S, "Encryption at rest is attested",
        "Which disks, databases, files and copies of production are encrypted, by what, who holds the keys and when"
        " they were last changed: with the evidence, and until when it holds.", "Security",
        attested=True,
    ),
    ItemTemplate(
        "security.privacy", _S, "Personal data is inventoried, and masked outside production",
        "What personal data the build keeps, why, how long, and that copies of it are masked.", "Data protection",
        kinds=("privacy",),
    ),
    ItemTemplate(
        "scalability.load", _C, "The build stands the expected traffic",
        "Steps of load up to the expected traffic, within the limits of the plan.", "Engineering",
        kinds=("load",), place="not_target",
    ),
    ItemTemplate(
        "scalability.plan", _C, "The plan for caching and scaling is in place",
        "What is cached, what grows with load, and who adds capacity.", "Operations",
    ),
    ItemTemplate(
        "transition.migration", _D, "The migration was rehearsed on a clone of production",
        "Locks, rewrites, durations and irreversible steps are known.", "Engineering",
        kinds=("migration",),
    ),
    ItemTemplate(
        "transition.data", _D, "User data arrives whole",
        "Accounts, progress and preferences: nothing lost or changed unexplained.", "Engineering",
        kinds=("transition", "reconcile"),
    ),
    ItemTemplate(
        "transition.announcement", _D, "The window is off-peak and users were told",
        "When it happens, what they will notice, and where to ask.", "Operations",
    ),
    ItemTemplate(
        "recovery.backup", _B, "A fresh backup of the target exists",
        "Data and configuration, encrypted, read back from storage and matched.", "Operations",
        kinds=("backup",), place="target",
    ),
    ItemTemplate(
        "recovery.drill", _B, "A backup restores within the recovery time",
        "Restored into a scratch database and compared with its manifest.", "Operations",
        kinds=("drill",),
    ),
    ItemTemplate(
        "recovery.rollback", _B, "The way back was rehearsed",
        "The plan's rollback ran in the rehearsal environment.", "Operations",
        section="rollback",
    ),
    ItemTemplate(
        "recovery.failover", _B, "Redundancy and failover are in place",
        "What happens when a server fails, and who or what takes over.", "Operations",
    ),
    ItemTemplate(
        "monitoring.alert", _M, "A test alert reached an administrator",
        "Sent over the declared channels and acknowledged by a person.", "Operations",
        receipt="test-alert", valid_for=timedelta(days=7),
    ),
    ItemTemplate(
        "monitoring.oncall", _M, "Somebody is on call for the window and after",
        "Names, numbers and the way to escalate.", "Operations",
    ),
)  # fmt: skip

RISKS: Final[tuple[RiskSpec, ...]] = (
    RiskSpec(
        "data-loss", "Data loss", "Data is lost or damaged by the migration or the deployment.", "Engineering",
        (3, 5), (1, 5),
        (
            ("Test migrations on a clone of production", ("transition.migration",)),
            ("A backup that was proven to restore", ("recovery.backup", "recovery.drill")),
            ("User data compared on both sides", ("transition.data",)),
        ),
    ),
    RiskSpec(
        "security", "Security vulnerabilities", "The build opens a way in.", "Security", (3, 5), (1, 5),
        (
            ("Security audit of this build", ("security.audit",)),
            ("Encryption and authentication reviewed", ("security.review", "security.at_rest")),
        ),
    ),
    RiskSpec(
        "performance", "Performance", "The build is too slow under heavy load.", "Engineering", (3, 5), (2, 4),
        (
            ("Load test up to the expected traffic", ("scalability.load",)),
            ("Caching and scaling plan", ("scalability.plan",)),
        ),
    ),
    RiskSpec(
        "disruption", "User disruption", "Users lose work or cannot work.", "Operations", (4, 3), (2, 3),
        (
            ("Off-peak window and announcements", ("transition.announcement",)),
            ("Users accepted the build", ("testing.acceptance",)),
            ("A rehearsed way back", ("recovery.rollback",)),
        ),
    ),
    RiskSpec(
        "unforeseen", "Unforeseen technical challenges", "Something nobody thought of.", "Release management",
        (4, 4), (2, 4),
        (
            ("On-call roster for the window and after", ("monitoring.oncall",)),
            ("A rehearsal as like production as can be", ("testing.suite", "testing.smoke")),
            ("A rehearsed way back", ("recovery.rollback",)),
        ),
    ),
    RiskSpec(
        "privacy", "Data privacy", "Personal data reaches somebody it should not.", "Data protection", (3, 4), (1, 4),
        (
            ("Privacy inventory and masking", ("security.privacy",)),
            ("Encryption and authentication reviewed", ("security.review", "security.at_rest")),
        ),
    ),
    RiskSpec(
        "server-failure", "Server failures", "A server fails during or after go-live.", "Operations", (3, 4), (2, 3),
        (
            ("Redundancy and failover", ("recovery.failover",)),
            ("A restore within the recovery time", ("recovery.drill",)),
            ("Monitoring that reaches a person", ("monitoring.alert", "monitoring.oncall")),
        ),
    ),
)  # fmt: skip


def read_seconds(text: str | None) -> timedelta | None:
    """A duration as plan documents store it ("259200s") -> timedelta; None stays None."""
    return None if text is None else timedelta(seconds=float(text.removesuffix("s")))


def checklist_for(document: Mapping[str, Any], *, source: str, target: str) -> list[ItemSpec]:
    """The checklist of a release from environment ``source`` to ``target`` under this plan document."""
    specs: list[ItemSpec] = []
    for template in CHECKLIST:
        specs += _expand(template, document, source, target)
    for override in document.get("checklist", []):
        specs = _override(specs, override, document, source)
    keys = [spec.key for spec in specs]
    if twice := next((key for key in keys if keys.count(key) > 1), ""):
        raise DomainError(
            f"The plan's checks make two items {twice!r} of the checklist, and one would hide the other. Nothing was"
            f" changed; publish a plan in which the check {twice.partition('.')[2]!r} has another name."
        )
    for requirement in Requirement:
        if not any(spec.requirement == requirement and spec.blocking for spec in specs):
            raise DomainError(
                f"The plan leaves nothing on the checklist that must be answered for {requirement.label}. "
                "Nothing was changed; publish a plan that keeps a blocking item for each of the six requirements."
            )
    return specs


def _expand(template: ItemTemplate, document: Mapping[str, Any], source: str, target: str) -> list[ItemSpec]:
    base = ItemSpec(
        key=template.key,
        template=template.key,
        requirement=template.requirement.value,
        title=template.title,
        description=template.description,
        owner=template.owner,
        section=template.section,
        receipt=template.receipt,
        environment=source if template.section else "",
        valid_for=template.valid_for,
        attested=template.attested,
    )
    checks = document.get("checks", {}).items()
    found = [(key, check) for key, check in checks if _fits(template, check, source, target)]
    if not found:
        return [] if template.only_checked else [base]
    several = template.each or len(found) > 1
    prefix = base.requirement + "." if template.each else template.key + "-"
    return [
        replace(
            base,
            key=prefix + key if several else base.key,
            title=f"{base.title}: {check['title']}" if several else base.title,
            section=f"checks.{key}",
            environment=check["environment"],
            valid_for=read_seconds(check.get("valid_for")) or base.valid_for,
        )
        for key, check in found
    ]


def _fits(template: ItemTemplate, check: Mapping[str, Any], source: str, target: str) -> bool:
    where = check["environment"]
    here = {"source": where == source, "target": where == target, "not_target": where != target, "any": True}
    return check["kind"] in template.kinds and here[template.place]


def _override(
    specs: list[ItemSpec], override: Mapping[str, Any], document: Mapping[str, Any], source: str
) -> list[ItemSpec]:
    """Apply one entry of the plan's ``checklist``: to every item of that key or template, or as a new item."""
    changes = {
        name: override[name]
        for name in ("requirement", "title", "description", "blocking", "owner", "attested")
        if override.get(name) is not None
    }
    if override.get("valid_for") is not None:
        changes["valid_for"] = read_seconds(override["valid_for"])
    if override.get("section") is not None:
        changes |= _section(override["section"], document, source)
    if any(override["key"] in (spec.key, spec.template) for spec in specs):
        return [replace(spec, **changes) if override["key"] in (spec.key, spec.template) else spec for spec in specs]
    if not changes.get("requirement") or not changes.get("title"):
        raise DomainError(
            f"The plan's checklist adds {override['key']!r}, which needs a requirement and a title. "
            "Nothing was changed; publish a plan that names both."
        )
    empty = ItemSpec(override["key"], override["key"], "", "", "", "")
    return [*specs, replace(empty, **changes)]


def _section(section: str, document: Mapping[str, Any], source: str) -> dict[str, Any]:
    if not section:
        return {"section": "", "environment": ""}
    check = document.get("checks", {}).get(section.removeprefix("checks."))
    return {"section": section, "receipt": "", "environment": check["environment"] if check else source}


def risks_for(document: Mapping[str, Any], items: Iterable[ItemSpec]) -> list[RiskSpec]:
    """The risk register under this plan document, its mitigations tied to the keys of ``items``."""
    risks = {risk.key: risk for risk in RISKS}
    for override in document.get("risks", []):
        risks[override["key"]] = _override_risk(risks.get(override["key"]), override)
    items = list(items)
    return [replace(risk, mitigations=tuple(_tied(risk, items))) for risk in risks.values()]


def _override_risk(risk: RiskSpec | None, override: Mapping[str, Any]) -> RiskSpec:
    if risk is None:
        needed = ("title", "inherent_likelihood", "inherent_impact", "residual_likelihood", "residual_impact")
        missing = [name for name in needed if override.get(name) is None]
        if missing:
            raise DomainError(
                f"The plan adds the risk {override['key']!r} without {', '.join(missing)}. "
                "Nothing was changed; publish a plan that names them."
            )
        risk = RiskSpec(override["key"], "", "", "", (5, 5), (5, 5), ())
    changes: dict[str, Any] = {
        name: (
            override.get(f"{name}_likelihood") or getattr(risk, name)[0],
            override.get(f"{name}_impact") or getattr(risk, name)[1],
        )
        for name in ("inherent", "residual")
    }
    changes |= {
        name: override[name] for name in ("title", "description", "owner", "appetite") if override.get(name) is not None
    }
    if override.get("mitigations") is not None:
        changes["mitigations"] = tuple((each["text"], tuple(each["items"])) for each in override["mitigations"])
    return replace(risk, **changes)


def _tied(risk: RiskSpec, items: list[ItemSpec]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """A template's key stands for all items made from it; a key nobody knows stays, and is never proven."""
    for text, keys in risk.mitigations:
        tied: list[str] = []
        for key in keys:
            tied += [item.key for item in items if key in (item.key, item.template)] or [key]
        yield text, tuple(dict.fromkeys(tied))
