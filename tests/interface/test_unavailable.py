"""While PostgreSQL or Redis is away or full, a page says so instead of calling it a mistake of the program."""

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from config.failures import failed
from releases.models import Application, User
from tests.factories import UserFactory


@pytest.fixture
def browser() -> Client:
    """What a person meets: the page, and not the exception behind it."""
    return Client(raise_request_exception=False)


@pytest.fixture
def keeper(browser: Client) -> User:
    user = UserFactory(is_superuser=True)
    browser.force_login(user)
    return user


@pytest.fixture
def connection_ended(keeper: User) -> Iterator[None]:
    """What a restart of PostgreSQL does to the connection that the next request finds."""
    with connection.cursor() as cursor, pytest.raises(OperationalError, match="terminating connection"):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    yield
    connection.close()


@pytest.fixture
def a_full_disk(transactional_db: None) -> Iterator[None]:
    """PostgreSQL's own error 53100, raised where a new application would be written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT ON releases_application FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION full_disk CASCADE")


@pytest.mark.django_db(transaction=True)
def test_a_page_says_that_the_database_does_not_answer(browser: Client, connection_ended: None) -> None:
    answer = browser.get("/ledger/")
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert b"The database does not answer" in answer.content
    assert b"mistake" not in answer.content
    connection.close()
    assert browser.get("/ledger/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_the_api_says_it_in_its_own_form(browser: Client, connection_ended: None) -> None:
    answer = browser.get("/api/runs")
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["detail"]


def test_a_full_disk_is_named_and_nothing_is_changed(a_full_disk: None, browser: Client, keeper: User) -> None:
    answer = browser.post("/applications/new/", {"slug": "shop", "name": "Shop", "description": "", "plan_folder": ""})
    assert answer.status_code == 503
    assert b"disk of the database is full" in answer.content
    assert b"Free some space" in answer.content
    assert not Application.objects.filter(slug="shop").exists()


@pytest.mark.django_db
def test_a_log_in_without_redis_says_what_is_missing(browser: Client, settings: object) -> None:
    caches = settings.CACHES  # type: ignore[attr-defined]
    settings.CACHES = {"default": {**caches["default"], "LOCATION": "redis://127.0.0.1:1/0"}}  # type: ignore[attr-defined]
    settings.ACCOUNT_RATE_LIMITS = {"login": "30/m/ip"}  # type: ignore[attr-defined]
    answer = browser.post("/accounts/login/", {"login": "mara@example.org", "password": "wrong"})
    assert answer.status_code == 503
    assert b"Redis does not answer" in answer.content


def test_any_other_failure_is_still_our_mistake() -> None:
    try:
        raise ValueError("not the fault of a server")
    except ValueError:
        answer = failed(RequestFactory().get("/"))
    assert answer.status_code == 500
    assert b"made a mistake" in answer.content
