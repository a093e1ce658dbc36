"""Faults of people's data on their way: one row vanishes, or one value changes, without anybody being told.

They are planted in the clone on which the plan's own rehearsal moves, after it was prepared. One row of all is hit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, LiteralString

from psycopg import sql

from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.in_databases import followed
from checks.tools.planting.materials import NotPlantable
from checks.tools.postgres import Connection, connected
from checks.tools.transition.declaration import TableMapping

#: The setting lasts as long as the transaction, so the first row that is inserted in it is hit, and no other.
_TRIGGER: Final = sql.SQL("""
    CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $planted$ BEGIN
      IF coalesce(current_setting('gonogo.planted', true), '') = '' THEN
        PERFORM set_config('gonogo.planted', 'yes', true);
        {harm};
      END IF;
      RETURN NEW;
    END $planted$;
    CREATE TRIGGER gonogo_planted BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()
""")
#: No other table that is moved refers to it, so that no foreign key says no before the proof does.
_LEAF: LiteralString = """
    SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o, unnest(%s::text[], %s::text[]) AS moved(place, name)
      WHERE o.contype = 'f' AND o.confrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))
        AND o.conrelid = to_regclass(format('%%I.%%I', moved.place, moved.name)))
"""
#: Columns of text on whose values nothing depends.
_FREE_TEXTS: LiteralString = """
    SELECT a.attname FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) AND a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
                      AND a.attnum = ANY(i.indkey))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conrelid = a.attrelid
                      AND a.attnum = ANY(o.conkey) AND o.contype IN ('c', 'f', 'p', 'u', 'x'))
"""


def vanishing_row(params: Mapping[str, Any], ground: Ground) -> Planted:
    """A trigger of the target takes the first row that arrives away."""
    with connected(ground.original, what="the rehearsal's database") as connection:
        filled = list(_filled(params, ground))
        moved = [list(part) for part in zip(*(_parts(mapping.label) for mapping in filled), strict=True)]
        for mapping in filled:
            if connection.execute(_LEAF, [*moved, *_parts(mapping.label)]).fetchone() == (True,):
                told = f"one row that goes to {mapping.label} vanishes there"
                planted = _planted(params, ground, mapping.label, sql.SQL("RETURN NULL"), told)
                return replace(planted, sign="are not in the target")
    raise NotPlantable("no row is inserted now in a table to which no other moved table refers")


def changed_value(params: Mapping[str, Any], ground: Ground) -> Planted:
    """A trigger of the target writes another first letter into one value that arrives."""
    with connected(ground.original, what="the rehearsal's database") as connection:
        for mapping in _filled(params, ground):
            column = _free_text(connection, mapping, params)
            if column:
                name = sql.Identifier("new", column)
                harm = sql.SQL(
                    "{} := CASE WHEN {} LIKE 'x%' THEN 'y' ELSE 'x' END || substr(coalesce({}, ''), 2)"
                ).format(name, name, name)
                told = f"one value that goes to {mapping.label}.{column} is changed there"
                planted = _planted(params, ground, mapping.label, harm, told)
                return replace(planted, sign="differ from the source")
    raise NotPlantable("no row with a text that is moved as it is is inserted now")


def _filled(params: Mapping[str, Any], ground: Ground) -> Iterator[TableMapping]:
    """The mapping's tables into which the look without the fault inserted rows, the fullest first."""
    if params.get("triggers") == "off":
        raise NotPlantable("the plan's transition turns triggers off while it moves")
    declared = {each.label: each for each in map(TableMapping.model_validate, params["tables"])}
    rows = sorted(ground.clean.get("tables", []), key=lambda row: -row["inserted"])
    yield from (declared[row["table"]] for row in rows if row["inserted"])


def _free_text(connection: Connection, mapping: TableMapping, params: Mapping[str, Any]) -> str:
    """A column that is moved as it is and must arrive as it is; '' where there is none."""
    short = mapping.label.removeprefix("public.")
    may_change = params.get("may_change") or {}
    found = {name for (name,) in connection.execute(_FREE_TEXTS, _parts(mapping.label)).fetchall()}
    wanted = (name for name in mapping.same if name in found and not {short, f"{short}.{name}"} & set(may_change))
    return next(wanted, "")


def _parts(label: str) -> tuple[str, str]:
    """'schema.table' -> its two names."""
    namespace, _, table = label.partition(".")
    return namespace, table


def _planted(params: Mapping[str, Any], ground: Ground, label: str, harm: sql.Composable, told: str) -> Planted:
    namespace, table = _parts(label)
    statement = _TRIGGER.format(
        function=sql.Identifier(namespace, "gonogo_planted"), table=sql.Identifier(namespace, table), harm=harm
    )
    return Planted(told, label, {"prepare": followed(params.get("prepare"), ground, statement)})
