"""Starting a refresh from the board: who may, and what a plan may say of it."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pydantic import ValidationError

from checks import services
from checks.errors import PlanError
from checks.models import Run
from checks.plan import parse
from checks.tools.inventory import InventoryEntry, PrivacySection
from releases.errors import DomainError, NotAllowed
from tests.factories import MINIMAL_PLAN, make_application, make_release, make_team
from tests.privacy.support import INVENTORY

REFRESH = {"environment": "staging", "source": "production"}


@pytest.mark.django_db
def test_an_engineer_starts_it_from_the_board_and_a_viewer_does_not(client: Client) -> None:
    application = make_application(plan={"privacy": {"inventory": INVENTORY}, "refresh": REFRESH})
    team, release = make_team(application), make_release(application=application, rehearsing=False)
    client.force_login(team.engineer)
    page = reverse("checks:refresh", args=[release.pk])
    assert page in client.get(reverse("checks:start_menu", args=[release.pk])).content.decode()
    shown = client.get(page).content.decode()
    assert "Carry the masked data over" in shown
    assert "The data of staging is replaced." in shown
    answer = client.post(page, follow=True)
    run = Run.objects.get(kind="refresh")
    assert (run.section, run.environment.name, run.exclusive, run.release) == ("refresh", "staging", True, release)
    assert f"#{run.number}" in answer.content.decode()
    # One at a time: a deploy, rollback or refresh under way holds the environment.
    assert "staging" in client.post(page).content.decode()
    assert Run.objects.count() == 1
    with pytest.raises(NotAllowed):
        services.start_refresh(release=release, actor=team.viewer)


@pytest.mark.django_db
def test_a_plan_without_the_section_offers_none(client: Client) -> None:
    application = make_application()
    team, release = make_team(application), make_release(application=application, rehearsing=False)
    client.force_login(team.engineer)
    assert client.get(reverse("checks:refresh", args=[release.pk])).status_code == 404
    with pytest.raises(DomainError, match="The plan has no section refresh"):
        services.start_refresh(release=release, actor=team.engineer)


@pytest.mark.parametrize(
    ("refresh", "inventory", "said"),
    [
        ({"environment": "production", "source": "staging"}, INVENTORY, "may not run in production"),
        ({"environment": "staging", "source": "staging"}, INVENTORY, "cannot be refreshed from itself"),
        ({"environment": "staging", "source": "nowhere"}, INVENTORY, "there is no environment 'nowhere'"),
        (REFRESH, [], "needs privacy.inventory"),
        (
            {**REFRESH, "after": [{"key": "mask", "title": "", "category": "database", "command": {"argv": ["true"]}}]},
            INVENTORY,
            "'mask' is a step that the program adds itself",
        ),
    ],
)
def test_a_plan_that_would_refresh_wrongly_is_refused(
    refresh: dict[str, Any], inventory: list[dict[str, Any]], said: str
) -> None:
    tree = {**MINIMAL_PLAN, "privacy": {"inventory": inventory}, "refresh": refresh}
    with pytest.raises(PlanError, match=said):
        parse(json.dumps(tree))


def test_an_inventory_says_each_column_once_and_whole() -> None:
    whole = {"columns": ["a.b"], "category": "contact", "basis": "contract", "retention": "1 year", "mask": "email"}
    for wrong, said in (
        ({"basis": None}, "needs a basis"),
        ({"retention": " "}, "needs a retention"),
        ({"mask": "keep"}, "needs a why"),
        ({"category": "not_personal", "mask": "keep"}, "needs a why"),
        ({"category": "not_personal", "why": "x"}, "is not masked"),
        ({"json_keys": {"a": "email"}}, "go with mask: json"),
        ({"columns": ["b"]}, "pattern"),
    ):
        with pytest.raises(ValidationError, match=said):
            InventoryEntry.model_validate({**whole, **wrong})
    with pytest.raises(ValidationError, match="classified twice"):
        PrivacySection.model_validate({"inventory": [whole, {**whole, "columns": ["public.a.b"]}]})
