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


def test_each_statement_grows_with_the_table_that_it_names_and_a_stall_with_its_migration() -> None:
    migrations: list[dict[str, Any]] = [
        {"migration": "shop.0002", "seconds": 2.0, "locks": [{"table": "public.orders"}], "statements": [
            {"sql": "ALTER TABLE orders ADD COLUMN n integer", "seconds": 1.5,
             "locks": ["public.orders: AccessExclusiveLock"]},
            {"sql": "UPDATE tiny SET n = 1", "seconds": 0.4, "locks": []},
        ]},
        {"migration": "shop.0003", "seconds": 0.5, "locks": [], "statements": [
            {"sql": "UPDATE tiny SET n = 2", "seconds": 0.5, "locks": []},
        ]},
    ]  # fmt: skip
    stalls = [
        {"table": "public.orders", "who": "reader", "seconds": 1.0, "migration": "shop.0002"},
        {"table": "public.orders", "who": "writer", "seconds": 0.1, "migration": ""},
    ]
    assert predicting.predict(migrations, stalls, {"public.orders": 10.0, "public.tiny": 1.0}) == 10.0
    # 1.5 s of the large table and the 0.1 s between statements grow tenfold, 0.4 s of the small one do not.
    assert [row["predicted"] for row in migrations] == [16.4, 0.5]
    assert [row["predicted"] for row in stalls] == [8.2, 1.0]
    assert [row["stall_predicted"] for row in migrations] == [8.2, 0.0]

    account = Account(migrations, [], stalls, whole=True, began=0.0, ended=2.5)
    bounds = limits.Limits(longest_stall=5.0, longest=10.0, rewrite_rows=0, refuse_irreversible=True)
    assert limits.of_times(account, 2.5, 16.9, bounds) == [
        "A reader of public.orders would wait for 8.2 s in production (1 s on the clone) by shop.0002;"
        " the limit is 5 s.",
        "It took 17 s in production (2.5 s on the clone); the limit is 10 s.",
    ]
