"""A refresh: staging gets production's data, and nobody's."""

import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.template.loader import render_to_string
from psycopg.conninfo import make_conninfo

from checks import engine
from checks.models import Run
from checks.tools.postgres import Address, binary
from releases.domain.environment import set_secret
from tests.kinds_data.support import Shop, administration, databases, log_of
from tests.privacy.support import INVENTORY, declare, people, rows, staging_of, told_in, without

pytestmark = pytest.mark.django_db(transaction=True)

STEP = {"key": "mark", "title": "Mark the data", "category": "database"}
#: A step in staging, which has staging's own variables.
MARK = {**STEP, "command": {"script": 'test -n "$DATABASE_URL"'}}
REFRESH = {"environment": "staging", "source": "production", "after": [MARK]}


def refreshed(shop: Shop, *, section: str = "refresh") -> Run:
    run = shop.queued("refresh", environment="staging")
    Run.objects.filter(pk=run.pk).update(section=section, exclusive=True)
    engine.execute(run.pk)
    run.refresh_from_db()
    return run


def one(address: Address, query: str) -> Any:
    return rows(address, query)[0][0]


@pytest.mark.campaign
def test_staging_gets_the_data_and_no_value_of_anybody(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path, refresh=REFRESH) as shop:
        staging = staging_of(shop)
        with psycopg.connect(staging.conninfo(), autocommit=True) as old:
            old.execute("CREATE TABLE of_before (n integer)")
        shop.sql("SELECT lo_from_bytea(0, 'of somebody')")
        run = refreshed(shop)
        assert run.state == "passed", (run.summary, run.error, log_of(run))
        _same_shape(shop, staging)
        _same_value_same_pseudonym(staging)
        _formats_hold(staging)
        _nothing_is_left(shop, staging)
        aside = run.result["replaced"]
        assert one(staging.named(aside), "SELECT count(*) FROM of_before") == 0
        assert one(staging, "SELECT count(*) FROM pg_largeobject_metadata") == 0
        assert not [name for name in databases() if name.startswith("gonogo_")]
        told = told_in(run.result, log_of(run)) + render_to_string("checks/kinds/refresh.html", {"run": run})
        assert "person7" not in told
        assert [each["name"] for each in run.result["artifacts"]] == ["inventory.csv", "privacy.json"]
        assert "has the masked data" in told
        assert "Large objects stayed behind" in told
        assert re.search(r"Masked on a clone\s+(that shares|copied file|made by dump)", told)
        _pseudonyms_are_keyed(shop, staging, aside)


def _pseudonyms_are_keyed(shop: Shop, staging: Address, aside: str) -> None:
    """Without a secret each refresh has a key that nobody has: trying addresses finds nothing. With one they stay."""
    query = "SELECT email FROM person ORDER BY id"
    own = rows(staging, query)
    set_secret(application=shop.application, name="pseudonyms", value="a long secret of ours", actor=None)
    keyed = {"inventory": INVENTORY, "pseudonym_key": "pseudonyms"}
    failing = {**STEP, "command": {"argv": ["false"]}}
    declare(shop, [], privacy=keyed, refresh={**REFRESH, "before": [{**MARK, "key": "hold"}], "after": [failing]})
    stopped = refreshed(shop)
    assert stopped.state == "failed", log_of(stopped)
    assert "staging has the masked data, and stopped at mark" in stopped.summary
    assert aside not in databases()
    first = rows(staging, query)
    assert set(first).isdisjoint(own)
    declare(shop, [], privacy=keyed, refresh=REFRESH)
    assert refreshed(shop).state == "passed"
    assert rows(staging, query) == first


def _same_shape(shop: Shop, staging: Address) -> None:
    for table in ("person", "login", "newsletter", "course"):
        assert one(staging, f"SELECT count(*) FROM {table}") == shop.sql(f"SELECT count(*) FROM {table}")[0][0], table
    assert one(staging, "SELECT count(*) FROM session") == 0
    # Nothing was noted by the trigger, and it is at work again.
    assert one(staging, "SELECT count(*) FROM old_name") == 0
    assert one(staging, "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'person_keeps_name'") == "O"
    assert one(staging, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated") >= 1
    assert one(staging, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()") == (
        shop.role
    )
    assert rows(staging, "SELECT title FROM course ORDER BY id") == [("What Money Is",), ("How Banks Work",)]


def _same_value_same_pseudonym(staging: Address) -> None:
    joined = "SELECT count(DISTINCT p.id) FROM person p JOIN newsletter n ON n.email = p.email"
    assert one(staging, joined) == 40
    assert one(staging, "SELECT count(*) FROM person p JOIN login l USING (username)") == 40
    same = "SELECT count(*) FROM person WHERE lower(email) = lower(contact ->> 'email') AND friends[1] = email"
    assert one(staging, same) == 39  # all but Anna.Berg1, whose document and list name another address
    assert one(staging, "SELECT count(DISTINCT (email, username, phone)) FROM person") == 40
    assert one(staging, "SELECT count(*) FROM directory d JOIN person p USING (name, email)") == 40


def _formats_hold(staging: Address) -> None:
    found = rows(
        staging, "SELECT email, phone, mobile, last_ip, password, bio, contact, avatar FROM person ORDER BY id"
    )
    for email, phone, mobile, ip, password, bio, contact, avatar in found:
        assert re.fullmatch(r"[A-Za-z]{16}@masked\.invalid", email)
        assert re.fullmatch(r"\+99 9\d \d{7}", phone)
        assert mobile is None or len(str(mobile)) == 12
        assert str(ip).startswith(("198.18.", "198.19."))
        assert password.startswith("!")
        assert bio == "" or "Hamburg" not in bio
        assert (contact["theme"], "Call" in contact["notes"][0], avatar) == ("dark", False, None)
    assert one(staging, "SELECT count(*) FROM person WHERE mobile IS NULL") == 2
    assert {abs(days) for (days,) in rows(staging, "SELECT born - (date '1980-01-01' + id::integer) FROM person")} <= (
        set(range(1, 31))
    )


def _nothing_is_left(shop: Shop, staging: Address) -> None:
    """Not in a dump, and not in the bytes of any file of the database either: what was updated leaves old rows."""
    dbname, variables = staging.for_command()
    dump = subprocess.run(
        [binary("pg_dump"), f"--dbname={dbname}"], env=variables, capture_output=True, check=True, timeout=60
    ).stdout.lower()
    words = ["@example.org", "berg", "hamburg", "49 30 1234", "4917012300", "192.0.2.", "pbkdf2", "call person"]
    assert [word for word in words if word.encode() in dump] == []
    with administration(staging.database) as server:
        server.execute("CHECKPOINT")
        found = server.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'i', 't', 'm') AND relfilenode <> 0"
            " AND oid >= 16384"
            " AND position('@example.org'::bytea IN pg_read_binary_file(pg_relation_filepath(oid))) > 0"
        ).fetchall()
    assert found == []


@pytest.mark.campaign
def test_a_refresh_that_may_not_be_leaves_staging_untouched(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path, inventory=without("person.phone"), refresh=REFRESH) as shop:
        staging = staging_of(shop)
        with psycopg.connect(staging.conninfo(), autocommit=True) as old:
            old.execute("CREATE TABLE of_before (n integer)")
        before = databases()
        unclassified = refreshed(shop)
        assert unclassified.state == "failed", log_of(unclassified)
        assert "person.phone looks like personal data" in unclassified.summary
        shop.sql("ALTER TABLE course ADD note text")
        shop.sql("UPDATE course SET note = 'ask person7@example.org'")
        harmless = {"category": "not_personal", "why": "course texts", "columns": ["course.note"]}
        declare(shop, [*INVENTORY, harmless], refresh=REFRESH)
        leaking = refreshed(shop)
        assert leaking.state == "failed", log_of(leaking)
        assert "stand in clear in course.note of the masked clone." in leaking.summary
        assert leaking.summary.endswith("staging is untouched.")
        shop.sql("UPDATE course SET note = ''")
        shop.sql("ALTER TABLE person ADD CHECK (bio NOT LIKE '%vonu%')")
        refused = refreshed(shop)
        assert refused.state == "errored", log_of(refused)
        assert "constraint person_bio_check" in refused.error
        assert "Hamburg" not in told_in(refused.result, log_of(refused) + refused.error + refused.remedy)
        declare(shop, INVENTORY, refresh=REFRESH, environments=_both_one(shop))
        same = refreshed(shop)
        assert same.state == "errored", log_of(same)
        assert "one and the same database" in same.error
        assert databases() == before
        assert one(staging, "SELECT count(*) FROM of_before") == 0


def _both_one(shop: Shop) -> dict[str, Any]:
    url = make_conninfo("", **shop.address.parts)
    assert url
    variables = {"DATABASE_URL": shop.address.url()}
    return {
        "staging": {"tier": "staging", "variables": variables},
        "production": {"tier": "production", "variables": variables},
    }
