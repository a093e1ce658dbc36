"""Every fault that is planted, with the check that has to say no."""

from collections.abc import Mapping
from typing import Any, Final

from checks.tools.auditing.said import Severity
from checks.tools.planting.fault import Fault, Ground, Planted
from checks.tools.planting.in_answers import broken_page, missing_header, slow_endpoint, slow_under_load
from checks.tools.planting.in_audits import (
    debug_left_on,
    expired_certificate,
    insecure_code,
    leaked_secret,
    missing_policy,
    refuse_light,
    refuse_without_tls,
    vulnerable_pin,
)
from checks.tools.planting.in_databases import (
    drifted_setting,
    lossy_migration,
    lost_row,
    missing_column,
    unclassified_column,
)
from checks.tools.planting.in_transitions import changed_value, vanishing_row
from checks.tools.planting.materials import CutBackup, refuse_without_advisories
from checks.tools.planting.slowness import refuse_without_consent, short
from checks.tools.planting.testing import failing_test, refuse_without_command

#: Areas of parity that no fault here is about; they are left out, so that a look takes a second.
_ASIDE: Final = ("runtime", "process", "variable", "package", "integration", "rows", "tls")
_QUIET: Final[Mapping[str, Any]] = {
    "migrate": None, "facts": None, "packages": None, "lock": None, "integrations": {}, "expected": [],
    "leave_out": dict.fromkeys(_ASIDE, "Not what this fault is about."),
}  # fmt: skip
#: Of an audit one look is made for each fault; the others find what they find elsewhere.
_LOOKS: Final = ("packages", "code", "secrets", "tls", "headers", "deploy_check", "web", "authentication", "sarif")


def _only(look: str) -> dict[str, Any]:
    return {each: None for each in _LOOKS if each != look} | {"uploaded": ""}


_PACKAGES_ONLY: Final[Mapping[str, Any]] = {**_only("packages"), "packages": {}, "fail_at": "high"}
#: The fault shows before anything is cloned and masked.
_LOOK_ONLY: Final[Mapping[str, Any]] = {"rehearse": False, "also_in": []}
_NEWEST: Final[Mapping[str, Any]] = {"backup": "", "amcheck": False}


def _truncated(params: Mapping[str, Any], ground: Ground) -> Planted:
    copy = CutBackup(*ground.backups)
    return Planted(copy.told, copy.cut, {"backup": copy.key}, removed=copy.remove)


COPY_VARIABLE: Final = "GONOGO_COPY_URL"
FAULTS: Final[tuple[Fault, ...]] = (
    Fault("drifted-setting", "A setting of the database drifted", "parity", drifted_setting,
          copy=True, in_place=True, clean=_QUIET),
    Fault("missing-column", "A column is missing", "parity", missing_column, copy=True, in_place=True, clean=_QUIET),
    Fault("missing-header", "A header that protects is missing", "parity", missing_header, clean=_QUIET),
    Fault("slow-endpoint", "An endpoint is slow", "smoke", slow_endpoint),
    Fault("broken-page", "A page is broken", "smoke", broken_page),
    Fault("failing-test", "A test fails", "suite", failing_test, needed=refuse_without_command, own=True),
    Fault("slow-under-load", "The application is slow under load", "load", slow_under_load,
          needed=refuse_without_consent, shaped=short, own=True),
    Fault("lost-row", "A row was lost", "reconcile", lost_row, copy=True,
          clean={"target_database": COPY_VARIABLE, "target": ""}),
    Fault("lossy-migration", "A migration loses data", "migration", lossy_migration, at_home=True, own=True),
    Fault("vanishing-row", "A moved row vanishes", "transition", vanishing_row, at_home=True, own=True),
    Fault("changed-value", "A moved value is changed", "transition", changed_value, at_home=True, own=True),
    Fault("unclassified-column", "A column of personal data is classified nowhere", "privacy", unclassified_column,
          copy=True, in_place=True, clean=_LOOK_ONLY),
    Fault("vulnerable-pin", "A package is known to be vulnerable", "audit", vulnerable_pin, clean=_PACKAGES_ONLY,
          needed=refuse_without_advisories, look="packages"),
    Fault("insecure-code", "Insecure code is in the source", "audit", insecure_code, clean=_only("code"), look="code",
          needed=refuse_light(Severity.HIGH), own=True),
    Fault("leaked-secret", "A secret is in the source", "audit", leaked_secret, clean=_only("secrets"), look="secrets",
          needed=refuse_light(Severity.HIGH), own=True),
    Fault("debug-left-on", "DEBUG was left on", "audit", debug_left_on, clean=_only("deploy_check"),
          look="deploy_check", needed=refuse_light(Severity.HIGH), own=True),
    Fault("expired-certificate", "The certificate has expired", "audit", expired_certificate, clean=_only("tls"),
          look="tls", needed=refuse_without_tls, own=True),
    Fault("missing-policy", "A policy that protects pages is missing", "audit", missing_policy, clean=_only("headers"),
          look="headers", needed=refuse_light(Severity.MEDIUM), own=True),
    Fault("truncated-backup", "A backup is cut short", "drill", _truncated, clean=_NEWEST, at_home=True),
)  # fmt: skip


def refuse_unknown(keys: list[str]) -> list[str]:
    known = [fault.key for fault in FAULTS]
    strange = [key for key in keys if key not in known]
    if strange:
        raise ValueError(f"there is no fault {strange[0]!r}; there are: {', '.join(known)}")
    return keys
