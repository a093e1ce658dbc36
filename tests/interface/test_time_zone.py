"""Times are shown in the zone that the person chose, and the page names it."""

from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client
from django.urls import path

from releases.models import User

WHEN = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def show() -> HttpResponse:
    template = Template("{% load interface %}{% moment when relative=False zone=True %} in {% zone %}")
    return HttpResponse(template.render(Context({"when": WHEN})))


def now(request: HttpRequest) -> HttpResponse:
    return show()


async def now_async(request: HttpRequest) -> HttpResponse:
    return show()


urlpatterns = [path("now/", now), path("now-async/", now_async)]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.interface.test_time_zone")]


@pytest.fixture
def tokyo() -> User:
    return User.objects.create_user(email="ken@example.org", name="Ken", password="x", time_zone="Asia/Tokyo")


def test_a_person_sees_the_own_zone_and_the_next_one_does_not(client: Client, tokyo: User) -> None:
    client.force_login(tokyo)
    assert b"21:00 JST" in client.get("/now/").content
    assert b"12:00 UTC" in Client().get("/now/").content


def test_it_holds_in_an_async_view_as_well(tokyo: User) -> None:
    client = AsyncClient()
    client.force_login(tokyo)
    assert b"21:00 JST" in async_to_sync(client.get)("/now-async/").content
    assert b"12:00 UTC" in async_to_sync(AsyncClient().get)("/now-async/").content


def test_a_zone_that_no_longer_exists_falls_back_to_utc(client: Client, tokyo: User) -> None:
    User.objects.filter(pk=tokyo.pk).update(time_zone="Mars/Olympus")
    client.force_login(tokyo)
    assert b"12:00 UTC" in client.get("/now/").content
