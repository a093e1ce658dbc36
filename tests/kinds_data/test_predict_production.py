"""What was measured on a small clone, told for the larger tables of production."""

from typing import Any

from checks.tools import limits, predicting
from checks.tools.attribution import Account
from checks.tools.columns import Content
from checks.tools.predicting import Sizes
from checks.tools.rehearsal import Relation, State

MB = 1_000_000


def clone(**tables: tuple[int, int]) -> State:
    """Each table with its bytes and its rows."""
    relations = {
        number: Relation("r", f"public.{name}", f"public.{name}", number, number, size=size)
        for number, (name, (size, _)) in enumerate(tables.items(), 1)
    }
    content = {f"public.{name}": Content(rows) for name, (_, rows) in tables.items()}
    return State(0, content, relations, {}, {}, [])


def test_a_table_counts_by_its_bytes_or_by_its_rows_whichever_is_more_and_never_below_one() -> None:
    here = clone(orders=(10 * MB, 1000), people=(10 * MB, 1000), tiny=(8192, 3), gone=(MB, 5))
    there = {"orders": (200 * MB, 9000), "people": (20 * MB, 30_000), "tiny": (65_536, 300), "other": (MB, 1)}
    sizes = Sizes("production", {f"public.{name}": (size, float(rows)) for name, (size, rows) in there.items()})
    assert predicting.factors(sizes, here) == {"public.orders": 20.0, "public.people": 30.0, "public.tiny": 1.0}
    smaller = Sizes("production", {"public.orders": (MB, 10.0)})
    assert predicting.factors(smaller, here) == {"public.orders": 1.0}


def test_each_statement_grows_with_the_table_that_it_names_and_a_stall_with_the_largest_that_has_part_in_it() -> None:
    migrations: list[dict[str, Any]] = [
        {"migration": "shop.0002", "watched": True, "seconds": 2.0, "locks": [{"table": "public.orders"}],
         "statements": [
            {"sql": "ALTER TABLE orders ADD COLUMN n integer", "seconds": 1.5,
             "locks": ["public.orders: AccessExclusiveLock"], "began": 10.0, "ended": 11.5},
            {"sql": "UPDATE tiny SET n = 1", "seconds": 0.4, "locks": [], "began": 11.5, "ended": 11.9},
        ]},
        {"migration": "shop.0003", "watched": True, "seconds": 0.5, "locks": [], "statements": [
            {"sql": "UPDATE tiny SET n = 2", "seconds": 0.5, "locks": [], "began": 12.0, "ended": 12.5},
        ]},
    ]  # fmt: skip
    stalls = [
        {"table": "public.orders", "who": "reader", "seconds": 1.0, "began": 10.5, "migration": "shop.0002"},
        {"table": "public.orders", "who": "writer", "seconds": 0.1, "began": 20.0, "migration": ""},
    ]
    assert predicting.predict(migrations, stalls, {"public.orders": 10.0, "public.tiny": 1.0}) == 10.0
    # 1.5 s of the large table and the 0.1 s between statements grow tenfold, 0.4 s of the small one do not.
    assert [row["predicted"] for row in migrations] == [16.4, 0.5]
    # Who waits for orders waits for work on orders: tenfold, however little of its migration that is. (It was told as
    # 8.2 s, by the average of the migration, which the work on small tables made smaller than any user would find it.)
    assert [row["predicted"] for row in stalls] == [10.0, 1.0]
    assert [row["stall_predicted"] for row in migrations] == [10.0, 0.0]

    account = Account(migrations, [], stalls, whole=True, began=0.0, ended=2.5)
    bounds = limits.Limits(longest_stall=5.0, longest=10.0, rewrite_rows=0, refuse_irreversible=True)
    assert limits.of_times(account, 2.5, 16.9, bounds) == [
        "A reader of public.orders would wait for 10 s in production (1 s on the clone) by shop.0002;"
        " the limit is 5 s.",
        "It took 17 s in production (2.5 s on the clone); the limit is 10 s.",
    ]


def migration(*statements: tuple[str, float, float], watched: bool = True, **more: Any) -> dict[str, Any]:
    """A row of one migration that began at 0 and ran these statements, each with its begin and its end."""
    rows = [
        {"sql": sql, "seconds": ended - began, "locks": [], "began": began, "ended": ended}
        for sql, began, ended in statements
    ]
    seconds = max((ended for _, _, ended in statements), default=4.0)
    return {"migration": "shop.0002", "watched": watched, "seconds": seconds, "locks": [], "statements": rows, **more}


def stall(table: str, began: float, seconds: float) -> dict[str, Any]:
    return {"table": f"public.{table}", "who": "reader", "seconds": seconds, "began": began, "migration": "shop.0002"}


SCALE = {"public.orders": 100.0, "public.tiny": 1.0}


def test_a_stall_of_a_large_table_is_not_made_smaller_by_long_work_on_a_small_one() -> None:
    row = migration(("UPDATE tiny SET n = 1", 0.0, 10.0), ("ALTER TABLE orders ADD n integer", 10.0, 10.5))
    stalls = [stall("orders", 10.0, 0.5)]
    predicting.predict([row], stalls, SCALE)
    assert stalls[0]["predicted"] == 50.0


def test_a_small_table_stays_closed_for_as_long_as_the_work_on_a_large_one_takes() -> None:
    row = migration(("SELECT 1", 0.0, 9.0), ("ALTER TABLE tiny ADD n integer", 9.0, 9.1), ("UPDATE orders", 9.1, 9.5))
    stalls = [stall("tiny", 9.0, 0.5)]
    predicting.predict([row], stalls, SCALE)
    assert stalls[0]["predicted"] == 50.0


def test_what_nobody_watched_grows_with_the_largest_table_of_all() -> None:
    for row in (migration(watched=False), migration(watched=False, seconds=None)):
        stalls = [stall("tiny", 0.0, 0.5)]
        assert predicting.predict([row], stalls, SCALE) == 100.0
        assert row["predicted"] == (None if row["seconds"] is None else 400.0)
        assert stalls[0]["predicted"] == 50.0


def test_a_command_whose_migrations_nobody_knows_grows_with_the_largest_table_of_all() -> None:
    assert predicting.predict([], [], SCALE) == 100.0
    stalls = [{**stall("tiny", 0.0, 0.5), "migration": ""}]
    assert predicting.predict([], stalls, SCALE) == 100.0
    assert stalls[0]["predicted"] == 50.0


def test_a_table_that_production_does_not_show_grows_with_the_largest_of_those_that_it_shows() -> None:
    row = migration(("ALTER TABLE strange ADD n integer", 0.0, 1.0))
    stalls = [stall("strange", 0.0, 1.0)]
    predicting.predict([row], stalls, SCALE)
    assert stalls[0]["predicted"] == 100.0


def test_time_that_nobody_measured_is_told_by_the_largest_factor() -> None:
    row = migration(watched=False, seconds=None)
    account = Account([row], [], [], whole=False, began=0.0, ended=3.0)
    largest = predicting.predict(account.migrations, account.stalls, SCALE)
    assert predicting.whole(account.migrations, account.seconds, largest) == 300.0


def test_a_partitioned_table_grows_as_the_largest_of_its_partitions() -> None:
    here = clone(part=(10 * MB, 1000))
    whole = Relation("p", "public.whole", "public.whole", None, 9)
    part = Relation("r", "public.part", "public.part", 1, 1, size=10 * MB, root=9)
    here = State(0, here.content, {9: whole, 1: part}, {}, {}, [])
    sizes = Sizes("production", {"public.part": (200 * MB, 9000.0)})
    assert predicting.factors(sizes, here) == {"public.part": 20.0, "public.whole": 20.0}
