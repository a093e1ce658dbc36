"""Every fault that is planted, with the check that has to say no."""

from collections.abc import Mapping
from typing import Any, Final

from checks.tools.parity.facts import Area
from checks.tools.planting.fault import Fault
from checks.tools.planting.in_answers import broken_page, refuse_patience, slow_endpoint, slow_under_load
from checks.tools.planting.in_archives import archive_without_backups
from checks.tools.planting.in_audits import (
    debug_left_on,
    expired_certificate,
    insecure_code,
    leaked_secret,
    missing_policy,
    refuse_without_tls,
    reported_weakness,
    sound_report,
    vulnerable_pin,
)
from checks.tools.planting.in_backups import lossy_storage, refuse_unread, rotten_backup, truncated_backup
from checks.tools.planting.in_databases import lossy_migration, lost_row, unclassified_column
from checks.tools.planting.in_parity import drifted_setting, missing_column, missing_header, only, refuse_unwatched
from checks.tools.planting.in_sites import (
    living_session,
    log_out_alone,
    pages_alone,
    refuse_log_out,
    refuse_other_modules,
    script_in_a_page,
    sound_page,
)
from checks.tools.planting.in_transitions import changed_value, vanishing_row
from checks.tools.planting.materials import refuse_without_advisories
from checks.tools.planting.slowness import refuse_load, short
from checks.tools.planting.testing import failing_test, refuse_without_command

#: Of an audit one look is made for each fault; the others find what they find elsewhere.
_LOOKS: Final = ("packages", "code", "secrets", "tls", "headers", "deploy_check", "web", "authentication", "sarif")


def _only(look: str) -> dict[str, Any]:
    return {each: None for each in _LOOKS if each != look} | {"uploaded": ""}


#: The fault shows before anything is cloned and masked.
_LOOK_ONLY: Final[Mapping[str, Any]] = {"rehearse": False, "also_in": []}
_NEWEST: Final[Mapping[str, Any]] = {"backup": "", "amcheck": False}

COPY_VARIABLE: Final = "GONOGO_COPY_URL"
FAULTS: Final[tuple[Fault, ...]] = (
    Fault("drifted-setting", "A setting of the database drifted", "parity", drifted_setting, copy=True, in_place=True,
          shaped=only(Area.SETTING), needed=refuse_unwatched(Area.SETTING)),
    Fault("missing-column", "A column is missing", "parity", missing_column, copy=True, in_place=True,
          shaped=only(Area.SCHEMA), needed=refuse_unwatched(Area.SCHEMA)),
    Fault("missing-header", "A header that protects is missing", "parity", missing_header,
          shaped=only(Area.HTTP), needed=refuse_unwatched(Area.HTTP)),
    Fault("slow-endpoint", "An endpoint is slow", "smoke", slow_endpoint, needed=refuse_patience),
    Fault("broken-page", "A page is broken", "smoke", broken_page),
    Fault("failing-test", "A test fails", "suite", failing_test, needed=refuse_without_command),
    Fault("slow-under-load", "The application is slow under load", "load", slow_under_load,
          needed=refuse_load, shaped=short),
    Fault("lost-row", "A row was lost", "reconcile", lost_row, copy=True,
          clean={"target_database": COPY_VARIABLE, "target": ""}),
    Fault("lossy-migration", "A migration loses data", "migration", lossy_migration, at_home=True),
    Fault("vanishing-row", "A moved row vanishes", "transition", vanishing_row, at_home=True),
    Fault("changed-value", "A moved value is changed", "transition", changed_value, at_home=True),
    Fault("unclassified-column", "A column of personal data is classified nowhere", "privacy", unclassified_column,
          copy=True, in_place=True, clean=_LOOK_ONLY),
    Fault("vulnerable-pin", "A package is known to be vulnerable", "audit", vulnerable_pin, clean=_only("packages"),
          needed=refuse_without_advisories, look="packages"),
    Fault("insecure-code", "Insecure code is in the source", "audit", insecure_code, clean=_only("code"), look="code"),
    Fault("leaked-secret", "A secret is in the source", "audit", leaked_secret, clean=_only("secrets"), look="secrets"),
    Fault("debug-left-on", "DEBUG was left on", "audit", debug_left_on, clean=_only("deploy_check"),
          look="deploy_check"),
    Fault("expired-certificate", "The certificate has expired", "audit", expired_certificate, clean=_only("tls"),
          look="tls", needed=refuse_without_tls),
    Fault("missing-policy", "A policy that protects pages is missing", "audit", missing_policy, clean=_only("headers"),
          look="headers"),
    Fault("reported-weakness", "Another scanner reports a weakness", "audit", reported_weakness, clean=_only("sarif"),
          look="sarif", sound=sound_report),
    Fault("script-in-a-page", "A page runs what its address brings", "audit", script_in_a_page, clean=_only("web"),
          look="web", needed=refuse_other_modules, shaped=pages_alone, sound=sound_page),
    Fault("living-session", "A session goes on after the log-out", "audit", living_session,
          clean=_only("authentication"), look="authentication", needed=refuse_log_out, shaped=log_out_alone),
    Fault("lossy-storage", "Storage loses a part of a backup", "backup", lossy_storage),
    Fault("truncated-backup", "A backup is cut short", "drill", truncated_backup, clean=_NEWEST, at_home=True),
    Fault("unusable-backup", "The backup to begin anew from is cut short", "disaster", truncated_backup, clean=_NEWEST,
          at_home=True),
    Fault("rotten-backup", "A kept backup is cut short", "retention", rotten_backup, clean={"dry": True}, at_home=True,
          needed=refuse_unread),
    Fault("empty-archive", "The archive of WAL holds no backup", "wal_archive", archive_without_backups, at_home=True),
)  # fmt: skip
#: Kinds that no fault is planted for, and why; what is said of them is never that they are proven.
NOT_PLANTED: Final[Mapping[str, str]] = {
    "deploy": "it changes the environment itself, and there is no copy that could be deployed to; the smoke test that"
    " ends it is a check of its own",
    "rollback": "it changes the environment itself; that it works is seen when the release is rehearsed, not here",
    "refresh": "it replaces the environment's own database; what has to say no to data that are not masked is the check"
    " of kind privacy",
    "settle": "it judges nothing, and removes what a way back needs; that what may still be undone stays is seen in its"
    " own run",
}


def refuse_unknown(keys: list[str]) -> list[str]:
    known = [fault.key for fault in FAULTS]
    strange = [key for key in keys if key not in known]
    if strange:
        raise ValueError(f"there is no fault {strange[0]!r}; there are: {', '.join(known)}")
    return keys
