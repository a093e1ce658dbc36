"""Drifts between the rehearsal's environment and the one it mirrors, judged by the plan's own rules and no others.

Of the drifts that can be planted one is taken that the plan calls breaking, where there is one; else one that it only
warns of or expects, so that the proof can say so.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, LiteralString

from psycopg import sql

from checks.plan import Plan
from checks.tools.parity import rules
from checks.tools.parity.comparing import Expected, Policy, as_the_plan_says
from checks.tools.parity.facts import Area, Fact
from checks.tools.parity.states import Row, State
from checks.tools.planting.fault import Ground, Needed, Planted, Shaped
from checks.tools.planting.in_databases import inside
from checks.tools.planting.materials import NotPlantable
from checks.tools.planting.proxy import Spoiling
from checks.tools.postgres import one

#: Settings that a database can be given -> what it is given, and what else where it has that already.
_SETTINGS: Final[Mapping[str, tuple[str, str]]] = {
    "default_transaction_isolation": ("serializable", "repeatable read"),
    "statement_timeout": ("59min", "58min"), "lock_timeout": ("59min", "58min"),
    "idle_in_transaction_session_timeout": ("59min", "58min"), "work_mem": ("5MB", "6MB"),
    "TimeZone": ("Pacific/Chatham", "Asia/Kathmandu"), "random_page_cost": ("3.5", "3.6"), "jit": ("off", "on"),
    "synchronous_commit": ("off", "on"), "enable_seqscan": ("off", "on"),
}  # fmt: skip
_HEADERS: Final = ("x-frame-options", "content-security-policy", "strict-transport-security", "x-content-type-options",
                   "referrer-policy", "cross-origin-opener-policy")  # fmt: skip
#: Columns on which no constraint rests, those of the largest tables first.
_COLUMNS: LiteralString = """
    SELECT n.nspname, c.relname, a.attname, format('%I.%I.%I', n.nspname, c.relname, a.attname)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND c.relpersistence = 'p'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conrelid = c.oid AND a.attnum = ANY(o.conkey)
                      AND o.contype <> 'n')
    ORDER BY pg_catalog.pg_relation_size(c.oid) DESC, 1, 2, a.attnum DESC
"""
_RANKS: Final = (State.BREAKING, State.DRIFT, State.EXPECTED)


def only(area: Area) -> Shaped:
    """The look at one area alone: the others are not what the fault is about, and take their time."""

    def shaped(planned: Mapping[str, Any]) -> dict[str, Any]:
        aside = {each.value: "Not what this fault is about." for each in Area if each is not area}
        return {"leave_out": {**aside, **planned.get("leave_out", {})}}

    return shaped


def refuse_unwatched(area: Area) -> Needed:
    """NotPlantable where the plan's parity does not look at the area at all."""

    def needed(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
        reason = planned.get("leave_out", {}).get(area.value)
        if reason:
            raise NotPlantable(f"the plan's parity leaves out {area.value}: {reason}")

    return needed


def drifted_setting(params: Mapping[str, Any], ground: Ground) -> Planted:
    assert ground.copy is not None
    name = _gravest(Area.SETTING, _SETTINGS, params, ground)
    with inside(ground) as connection:
        now = one(connection, "SELECT current_setting(%s)", [name])
        value = next(each for each in _SETTINGS[name] if each != now)
        connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(
            sql.Identifier(ground.copy.database), sql.Identifier(name), sql.Literal(value)))  # fmt: skip
    return Planted(f"{name} is {value}", f"setting.{name}")


def missing_column(params: Mapping[str, Any], ground: Ground) -> Planted:
    with inside(ground) as connection:
        columns = {label: (place, table, column) for place, table, column, label in
                   connection.execute(_COLUMNS).fetchall()}  # fmt: skip
        label = _gravest(Area.SCHEMA, [f"column {label}" for label in columns], params, ground).removeprefix("column ")
        place, table, column = columns[label]
        connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {} CASCADE").format(
            sql.Identifier(place, table), sql.Identifier(column)))  # fmt: skip
    return Planted(f"the column {label} is gone", f"schema.column {label}", sign=": none against ")


def missing_header(params: Mapping[str, Any], ground: Ground) -> Planted:
    page = (params.get("pages") or ["/"])[0]
    sent = [f"{page} {name}" for name in _HEADERS if name in ground.headers]
    if not sent:
        raise NotPlantable("the first page sends no header of those that protect")
    name = _gravest(Area.HTTP, sent, params, ground)
    header = name.removeprefix(f"{page} ")
    planted = f"the header {header} is missing"
    return Planted(planted, f"http.{name}", {}, Spoiling(header), sign=": none against ")


def _gravest(area: Area, names: Iterable[str], params: Mapping[str, Any], ground: Ground) -> str:
    """Of facts that can be made to differ, the first that the plan calls breaking, else warns of, else expects.

    Those that differ already are passed over, for nobody could tell the fault from what was there before.
    """
    policy = _policy(params)
    differ = {row["fact"] for found in ground.clean.get("areas", []) for row in found["rows"]}
    ranked: dict[State, str] = {}
    for name in names:
        if policy.leaves_out(area, name) or f"{area.value}.{name}" in differ:
            continue
        here, there = (Fact(""), Fact("")) if area is Area.SETTING else (None, Fact(""))
        state = as_the_plan_says(Row(area, name, here, there, *rules.judge(area, name, here, there)), policy).state
        ranked.setdefault(state, name)
    found = next((ranked[state] for state in _RANKS if state in ranked), None)
    if found is None:
        raise NotPlantable(
            f"every fact of {area.value} that could be changed differs already, or the plan leaves it out"
        )
    return found


def _policy(params: Mapping[str, Any]) -> Policy:
    return Policy(
        expected=[Expected(**entry) for entry in params.get("expected", [])], breaking=params.get("breaking", []),
        only_drift=params.get("only_drift", {}), leave_out=params.get("leave_out", {}),
    )  # fmt: skip
