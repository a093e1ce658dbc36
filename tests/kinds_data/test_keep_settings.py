"""A clone has the settings of its original, so that what production would cancel is cancelled in the rehearsal."""

import pytest

from checks.enums import RunState
from tests.kinds_data.support import Shop, administration, log_of
from tests.kinds_data.test_rehearse_migration import statements


@pytest.mark.parametrize("whose", ["DATABASE {name}", "ROLE {name} IN DATABASE {name}"], ids=["database", "role"])
@pytest.mark.parametrize("way", ["auto", "dump"])
def test_a_statement_that_production_would_cancel_is_cancelled(plain_shop: Shop, whose: str, way: str) -> None:
    name = plain_shop.address.database
    plain_shop.sql(f"ALTER {whose.format(name=name)} SET statement_timeout = '300ms'")
    params = statements("UPDATE customer SET discount = 7 WHERE pg_sleep(0.002) IS NOT NULL", clone=way)
    run = plain_shop.run("migration", release=plain_shop.release(), **params)
    assert run.state == RunState.FAILED, (run.error, run.summary)
    assert "took longer than its statement_timeout" in run.summary


def test_a_setting_that_the_role_may_not_give_is_named_without_its_value(plain_shop: Shop) -> None:
    name = plain_shop.address.database
    with administration() as server:
        server.execute(f"ALTER DATABASE {name} SET log_min_duration_statement = '250ms'")
    plain_shop.sql(f"ALTER DATABASE {name} SET search_path = shop, public")
    run = plain_shop.run("migration", release=plain_shop.release(), **statements("ALTER TABLE customer ADD nick text"))
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    (told,) = [each for each in run.result["troubles"] if "could not be given" in each]
    assert told == "The clone could not be given its setting log_min_duration_statement, which the original has."
