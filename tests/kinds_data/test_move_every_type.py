"""Values of every built-in type move, and the figures of each column are asked in a way that its type knows."""

from pathlib import Path

import pytest

from tests.kinds_data.people import people
from tests.kinds_data.test_move_any_value import passed, thing

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: Two values of each type.
VALUES = {
    "daterange": ("[2026-01-01,2026-02-01)", "empty"), "int4multirange": ("{[1,2)}", "{}"), "tsvector": ("a b", "c"),
    "tsquery": ("a & b", "c"), "bit(3)": ("101", "000"), "varbit": ("10", "1"), "macaddr": ("08:00:2b:01:02:03",) * 2,
    "macaddr8": ("08:00:2b:01:02:03:04:05",) * 2, "inet": ("10.0.0.1", "::1"), "cidr": ("10.0.0.0/8", "::/0"),
    "money": ("12.5", "-1"), "numeric": ("NaN", "1.5"), "float8": ("1e308", "1e308"), "float4": ("NaN", "Infinity"),
    "interval": ("1 month", "1 day"), "jsonb": ("{}", "[]"), "json": ("{}", "[1, 2]"), "int[]": ("{1,2}", "{}"),
    "timetz": ("10:00+02", "11:00Z"), "time": ("10:00", "11:00"), "oid": ("5", "6"), "pg_lsn": ("0/1", "0/2"),
    '"char"': ("a", "b"), "box": ("((0,0),(1,1))",) * 2, "lseg": ("[(0,0),(1,1)]",) * 2,
    "line": ("{1,2,3}",) * 2, "circle": ("<(0,0),1>",) * 2, "path": ("((0,0),(1,1))",) * 2, "point": ("(1,2)",) * 2,
    "xid8": ("7", "8"), "jsonpath": ("$.a", "$.b"), "timestamptz": ("infinity", "2026-01-01Z"), "name": ("n", "m"),
    "uuid": ("3d6a4c0e-0b5e-4f3c-9d8f-1f5f0c1d2e3f",) * 2, "bool": ("t", "f"), "regclass": ("pg_class", "pg_type"),
    "float8[]": ("{1e308,NaN}", "{}"), "bytea": ("\\x00", "\\xff"), "date": ("-infinity", "2026-01-01"),
}  # fmt: skip
TYPES = list(VALUES)


def test_values_of_every_built_in_type_arrive(tmp_path: Path) -> None:
    columns = ", ".join(f"a{place} {kind}" for place, kind in enumerate(TYPES))
    schema = f"CREATE TABLE thing (id int PRIMARY KEY, {columns});"
    rows = ", ".join("({}, {})".format(n + 1, ", ".join("'" + VALUES[kind][n] + "'" for kind in TYPES)) for n in (0, 1))
    with people(
        tmp_path, source=f"{schema} INSERT INTO thing VALUES {rows}; INSERT INTO thing (id) VALUES (3)", target=schema
    ) as made:
        run = made.rehearse([thing("thing", *(f"a{place}" for place in range(len(TYPES))))])
        passed(run)
        figures = {TYPES[int(row["column"][1:])]: row for row in run.result["columns"] if row["column"] != "id"}
        assert {row["nulls"] for row in figures.values()} == {1}
        assert figures["float8"]["sum"] == figures["float8"]["target_sum"] == "2" + "0" * 308
        assert figures["float4"]["sum"] == "NaN"
        assert (figures["daterange"]["least"], figures["daterange"]["of_lengths"]) == ("5", True)
        assert figures["jsonpath"]["greatest"] == "5"
        assert figures["timestamptz"]["sum"] is None
        assert figures["bool"]["sum"] == "1"
