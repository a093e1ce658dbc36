"""Each variable of a rehearsed command that leads to the original leads to the clone, however it is written."""

import pytest

from checks.errors import CheckError
from checks.tools import leading
from checks.tools.postgres import Address

ORIGINAL = Address.parse("postgresql://shop:secret@db.example.org:5432/shop")
CLONE = Address.parse("postgresql://shop:secret@db.example.org:5432/gonogo_clone_1")


def led(value: str, *allowed: str, original: Address = ORIGINAL) -> str:
    return leading.to_clone({"OTHER_URL": value}, [original], CLONE, allowed)["OTHER_URL"]


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("postgresql://shop:secret@db.example.org:5432/shop", "postgresql://"),
        ("postgres://shop:secret@db.example.org/shop", "postgres://"),
        ("postgis://shop:secret@DB.example.org:5432/shop", "postgis://"),
        ("postgresql://reader:other@db.example.org:6432/shop?pgbouncer=true&schema=public", "postgresql://"),
        ("db+postgresql+psycopg2://shop:secret@db.example.org/shop", "db+postgresql+psycopg2://"),
    ],
)
def test_another_spelling_of_the_original_becomes_the_clone(value: str, scheme: str) -> None:
    assert led(value) == scheme + "shop:secret@db.example.org:5432/gonogo_clone_1"


def test_words_of_libpq_stay_words() -> None:
    words = led("host=db.example.org port=6432 user=shop dbname=shop password='se cret'")
    assert "dbname='gonogo_clone_1'" in words
    assert "port='5432'" in words


def test_names_of_this_machine_are_one() -> None:
    here = Address.parse("postgresql://shop@localhost/shop")
    for value in ("postgresql://shop@127.0.0.1/shop", "postgresql:///shop?host=/var/run/postgresql"):
        assert "gonogo_clone_1" in led(value, original=here)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://shop:secret@db.example.org/analytics",
        "postgresql://shop:secret@replica.example.org/shop",
        "jdbc:postgresql://db.example.org/shop",
        'DEFAULT="postgres://shop@db.example.org/shop"',
        "host=db.example.org dbname=analytics",
        "postgres://shop@[broken/shop",
    ],
)
def test_what_leads_elsewhere_is_refused_unless_the_plan_allows_it_by_name(value: str) -> None:
    with pytest.raises(CheckError, match="The variable OTHER_URL leads to another PostgreSQL database") as refused:
        led(value)
    assert "may_reach: [OTHER_URL]" in refused.value.remedy
    assert "secret" not in str(refused.value)
    assert led(value, "OTHER_URL") == value


@pytest.mark.parametrize("value", ["", "redis://localhost/0", "mysql://db.example.org/shop", "/var/postgres", "shop"])
def test_what_is_no_address_of_postgresql_stays(value: str) -> None:
    assert led(value) == value
