"""The pages with which an administrator runs people and applications, and who is turned away from each."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from releases.domain import ledger
from releases.domain import user as users
from releases.enums import Role
from releases.models import Application, LedgerEntry, Membership, User
from tests.factories import Team, UserFactory, make_application, make_team, member
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-enough-password"
NEW = {"email": "nia@example.org", "name": "Nia New", "role": "engineer", "station": ""}


@dataclass(frozen=True)
class Place:
    """An application with its team, and somebody there who was invited and has not accepted."""

    application: Application
    team: Team
    invited: User


@pytest.fixture
def place() -> Place:
    application = make_application(name="Shop")
    team = make_team(application)
    invited = users.invite_person(
        email="ivo@example.org", name="Ivo Invited", application=application, role=Role.VIEWER, actor=team.administrator
    ).user
    return Place(application, team, invited)


Address = Callable[[Place], str]
#: What each takes to GET and to POST; None: it is not for that method.
PAGES: dict[str, tuple[Address, bool, dict[str, str] | None]] = {
    "people": (lambda place: reverse("releases:people"), True, None),
    "export": (lambda place: f"{reverse('releases:people')}?format=csv", True, None),
    "invite": (lambda place: reverse("releases:invite"), True, NEW),
    "person": (lambda place: reverse("releases:person_detail", args=[place.team.viewer.pk]), True, None),
    "send again": (lambda place: reverse("releases:invitation_send", args=[place.invited.pk]), False, {}),
    "deactivate": (
        lambda place: reverse("releases:person_deactivate", args=[place.team.viewer.pk]), True, {"reason": "x"},
    ),
    "reactivate": (lambda place: reverse("releases:person_reactivate", args=[place.team.viewer.pk]), False, {}),
    "new application": (
        lambda place: reverse("releases:application_new"), True, {"slug": "other", "name": "Other"},
    ),
    "change": (lambda place: reverse("releases:application_edit", args=[place.application.slug]), True, {"name": "X"}),
    "give a role": (
        lambda place: reverse("releases:member_add", args=[place.application.slug]),
        True,
        {"user": "ivo@example.org", "role": "auditor", "station": ""},
    ),
    "take a role": (
        lambda place: reverse(
            "releases:member_remove",
            args=[place.application.slug, place.team.viewer.memberships.get().pk],
        ),
        False,
        {},
    ),
}  # fmt: skip
#: What concerns no application that exists, so any administrator may.
FOR_ANY_ADMINISTRATOR = ("people", "export", "invite", "new application")


def state() -> tuple[object, ...]:
    return (
        sorted(User.objects.values_list("email", "is_active", "invited_at", "password")),
        sorted(Membership.objects.values_list("application", "user", "role", "station")),
        sorted(Application.objects.values_list("slug", "name", "plan_folder")),
        LedgerEntry.objects.count(),
    )


@pytest.mark.parametrize("name", PAGES)
def test_who_administers_nothing_is_turned_away(place: Place, name: str) -> None:
    address, reads, posted = PAGES[name]
    everybody = [*place.team.everybody, UserFactory()]
    before = state()
    for user in everybody:
        if user == place.team.administrator:
            continue
        client = browser(user)
        answers = [client.get(address(place))] if reads else []
        answers += [client.post(address(place), {**posted, "application": place.application.slug})] if posted else []
        refusals = {403, 404} if user.memberships.exists() else {404}
        assert {answer.status_code for answer in answers} <= refusals, user
    assert state() == before


@pytest.mark.parametrize("name", [name for name in PAGES if name not in FOR_ANY_ADMINISTRATOR])
def test_an_administrator_of_another_application_finds_nothing(place: Place, name: str) -> None:
    address, reads, posted = PAGES[name]
    client = browser(member(make_application(), Role.ADMINISTRATOR))
    before = state()
    if reads:
        assert client.get(address(place)).status_code == 404
    if posted is not None:
        assert client.post(address(place), posted).status_code == 404
    assert state() == before


def test_an_administrator_of_another_application_invites_nobody_into_this_one(place: Place) -> None:
    client = browser(member(make_application(), Role.ADMINISTRATOR))
    answer = client.post(reverse("releases:invite"), {**NEW, "application": place.application.slug})
    assert answer.status_code == 422
    assert not User.objects.filter(email=NEW["email"]).exists()
    assert "ivo@example.org" not in client.get(reverse("releases:people")).content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_without_a_log_in_one_is_asked_to_log_in(place: Place, name: str) -> None:
    address, reads, posted = PAGES[name]
    before = state()
    answer = Client().get(address(place)) if reads else Client().post(address(place), posted)
    assert answer.status_code == 302
    assert "/accounts/login/" in answer.headers["location"]
    assert state() == before


@pytest.mark.parametrize("name", [name for name in PAGES if PAGES[name][1] and name != "export"])
def test_an_administrator_opens_each(place: Place, name: str) -> None:
    assert browser(place.team.administrator).get(PAGES[name][0](place)).status_code == 200


def test_a_role_of_one_application_is_not_taken_by_the_address_of_another(place: Place) -> None:
    other = make_application()
    member(other, Role.ADMINISTRATOR, user=place.team.administrator)
    theirs = member(other, Role.VIEWER).memberships.get()
    address = reverse("releases:member_remove", args=[place.application.slug, theirs.pk])
    assert browser(place.team.administrator).post(address).status_code == 404
    assert Membership.objects.filter(pk=theirs.pk).exists()


def test_who_keeps_the_installation_sees_everybody_and_names_an_administrator(place: Place) -> None:
    client = browser(UserFactory(is_superuser=True))
    assert "ivo@example.org" in client.get(reverse("releases:people")).content.decode()
    address = reverse("releases:member_add", args=[place.application.slug])
    assert client.post(address, {"user": "ivo@example.org", "role": "engineer"}).status_code == 422
    answer = client.post(address, {"user": "ivo@example.org", "role": "administrator"})
    assert answer.headers["location"] == reverse("releases:person_detail", args=[place.invited.pk])
    assert place.invited.memberships.filter(role=Role.ADMINISTRATOR).exists()
    assert client.get(reverse("releases:application", args=[place.application.slug])).status_code == 404


def listed(client: Client, query: str) -> list[str]:
    answer = client.get(f"{reverse('releases:people')}?format=json&{query}")
    return [row["email"] for row in json.loads(b"".join(answer.streaming_content))]


def test_the_list_is_filtered_and_sorted(place: Place) -> None:
    client = browser(place.team.administrator)
    team = place.team
    assert listed(client, "q=ivo+invited") == ["ivo@example.org"]
    assert listed(client, "state=invited") == ["ivo@example.org"]
    assert listed(client, "role=auditor") == [team.auditor.email]
    assert listed(client, "application=nowhere") == []
    alone = UserFactory(name="Aa Alone")
    assert listed(client, "state=no_role") == [alone.email]
    users.deactivate(user=alone, actor=team.administrator, reason="x")
    assert listed(client, "state=inactive") == [alone.email]
    assert listed(client, "sort=name")[0] == alone.email
    assert listed(client, "sort=-name")[-1] == alone.email
    assert listed(client, "sort=last")[0] == team.administrator.email
    assert len(listed(client, "")) == 10


def test_the_export_has_the_roles_and_no_formula(place: Place) -> None:
    User.objects.filter(pk=place.invited.pk).update(name="=HYPERLINK(1)")
    answer = browser(place.team.administrator).get(f"{reverse('releases:people')}?format=csv&q=ivo")
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert lines[0] == "name,email,state,roles,second_factor,last_login,id"
    assert lines[1].startswith(f"'=HYPERLINK(1),ivo@example.org,invited,{place.application.slug}:viewer,False,,")


def test_roles_in_applications_of_others_are_not_shown(place: Place) -> None:
    hidden = make_application(name="Hidden project")
    member(hidden, Role.AUDITOR, user=place.invited)
    client = browser(place.team.administrator)
    for address in (reverse("releases:people"), reverse("releases:person_detail", args=[place.invited.pk])):
        assert "Hidden project" not in client.get(address).content.decode()
    assert listed(client, f"application={hidden.slug}") == []


def test_the_list_takes_as_many_queries_for_many_people_as_for_few(place: Place) -> None:
    client = browser(place.team.administrator)
    client.get(reverse("releases:people"))
    with CaptureQueriesContext(connection) as few:
        client.get(reverse("releases:people"))
    for _ in range(5):
        member(place.application, Role.VIEWER)
    with CaptureQueriesContext(connection) as many:
        client.get(reverse("releases:people"))
    assert len(many) == len(few)


def test_only_who_may_use_the_pages_sees_links_to_them(place: Place) -> None:
    people, new = reverse("releases:people"), reverse("releases:application_new")
    for user in place.team.everybody:
        text = browser(user).get(reverse("releases:application_list")).content.decode()
        mine = user == place.team.administrator
        assert (f'href="{people}"' in text, f'href="{new}"' in text) == (mine, mine), user


def invite(client: Client, place: Place, **more: str) -> str:
    """The link, as it stands in the mail."""
    answer = client.post(reverse("releases:invite"), {**NEW, "application": place.application.slug, **more})
    assert answer.status_code == 200, answer.content.decode()
    assert "no-store" in answer.headers["cache-control"]
    found = re.search(r"http\S+/people/accept/\S+", str(mail.outbox[-1].body))
    assert found
    assert "/people/accept/" not in answer.content.decode()
    return found[0]


def shown_links() -> list[tuple[str, str]]:
    """(who saw it, whose it is) of every link that the ledger says was shown."""
    entries = LedgerEntry.objects.filter(action="user.link_shown")
    return [(str(entry.actor), str(entry.document["name"])) for entry in entries]


def test_the_link_goes_out_by_mail_and_whoever_invites_never_sees_it(place: Place, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://gonogo.example"
    client = browser(place.team.administrator)
    link = invite(client, place)
    assert link.startswith("https://gonogo.example/people/accept/")
    assert mail.outbox[0].to == ["nia@example.org"]
    assert shown_links() == []
    user = User.objects.get(email="nia@example.org")
    assert link not in client.get(reverse("releases:person_detail", args=[user.pk])).content.decode()
    ledger.seal_now()
    assert link.rsplit("/", 2)[1] not in json.dumps(list(LedgerEntry.objects.values_list("document", flat=True)))


def test_a_mail_that_cannot_be_sent_is_told_and_the_link_still_works(place: Place, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    client = browser(place.team.administrator)
    answer = client.post(reverse("releases:invite"), {**NEW, "application": place.application.slug})
    assert "The mail could not be sent" in answer.content.decode()
    assert "/people/accept/" in answer.content.decode()
    assert shown_links() == [(str(place.team.administrator), NEW["name"])]


def test_where_no_mail_server_is_set_nobody_is_told_that_a_mail_was_sent(
    place: Place, settings: Settings, tmp_path: Path
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    address = reverse("releases:invitation_send", args=[place.invited.pk])
    text = browser(place.team.administrator).post(address).content.decode()
    assert "No mail was sent." in text
    assert "The link was sent" not in text
    assert "/people/accept/" in text
    assert shown_links() == [(str(place.team.administrator), str(place.invited))]
    assert len(list(tmp_path.iterdir())) == 1


def path_of(link: str) -> str:
    return "/" + link.split("/", 3)[3]


def accept(client: Client, link: str, password: str = PASSWORD) -> int:
    answer = client.get(path_of(link), follow=True)
    here = answer.request["PATH_INFO"]
    return client.post(here, {"new_password1": password, "new_password2": password}).status_code


def test_accepting_logs_in_and_the_link_is_used_up(place: Place) -> None:
    link = invite(browser(place.team.administrator), place)
    client = Client()
    first = client.get(path_of(link))
    assert first.status_code == 302
    assert first.headers["location"].endswith("/set-password/")
    assert accept(client, link) == 302
    assert client.get(reverse("releases:person")).status_code == 200
    again = Client().get(path_of(link), follow=True)
    assert "This link does not work" in again.content.decode()
    user = User.objects.get(email="nia@example.org")
    assert not user.waits_to_accept


def test_a_weak_password_is_named_and_the_link_stays(place: Place) -> None:
    link = invite(browser(place.team.administrator), place)
    client = Client()
    assert accept(client, link, "short") == 422
    assert accept(client, link) == 302


def test_a_link_of_an_account_that_was_deactivated_opens_nothing(place: Place) -> None:
    link = invite(browser(place.team.administrator), place)
    users.deactivate(user=User.objects.get(email="nia@example.org"), actor=place.team.administrator, reason="x")
    assert "This link does not work" in Client().get(path_of(link), follow=True).content.decode()


def test_sending_again_replaces_the_link(place: Place) -> None:
    client = browser(place.team.administrator)
    link = invite(client, place)
    user = User.objects.get(email="nia@example.org")
    answer = client.post(reverse("releases:invitation_send", args=[user.pk]))
    assert "/people/accept/" in str(mail.outbox[-1].body)
    assert "This link does not work" in Client().get(path_of(link), follow=True).content.decode()
    assert len(mail.outbox) == 2
    answer = client.post(reverse("releases:invitation_send", args=[place.team.viewer.pk]))
    assert answer.status_code == 422
    assert "has logged in already" in answer.content.decode()


@pytest.mark.lockout
def test_one_address_is_not_flooded_with_links(place: Place, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {}
    client = browser(place.team.administrator)
    address = reverse("releases:invitation_send", args=[place.invited.pk])
    codes = [client.post(address).status_code for _ in range(7)]
    assert codes[0] == 200
    assert codes[-1] == 429
    assert len(mail.outbox) < 7


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"email": "ivo@example.org"}, "email"),
        ({"email": "nobody"}, "email"),
        ({"name": ""}, "name"),
        ({"role": ""}, "role"),
        ({"role": "approver"}, "station"),
        ({"role": "approver", "station": "securty"}, "station"),
        ({"station": "security"}, "station"),
        ({"application": ""}, "application"),
    ],
)
def test_a_refused_invitation_names_the_field(place: Place, changed: dict[str, str], field: str) -> None:
    facts = {**NEW, "application": place.application.slug, **changed}
    answer = browser(place.team.administrator).post(reverse("releases:invite"), facts)
    assert answer.status_code == 422
    assert f'id="id_{field}_error"' in answer.content.decode()


def test_a_role_for_somebody_without_an_account_leads_to_the_invitation(place: Place) -> None:
    answer = browser(place.team.administrator).post(
        reverse("releases:member_add", args=[place.application.slug]), {"user": "who@example.org", "role": "viewer"}
    )
    assert "invite them instead" in answer.content.decode()
    assert 'id="id_user_error"' in answer.content.decode()


def test_a_new_application_leads_to_its_first_plan_and_keeps_its_slug(place: Place) -> None:
    client = browser(place.team.administrator)
    facts = {"slug": "store", "name": "Store", "description": "", "plan_folder": ""}
    answer = client.post(reverse("releases:application_new"), facts, follow=True)
    text = answer.content.decode()
    assert "Publish the first plan" in text
    assert reverse("checks:plan_new", args=["store"]) in text
    taken = client.post(reverse("releases:application_new"), facts)
    assert taken.status_code == 422
    assert 'id="id_slug_error"' in taken.content.decode()
    client.post(reverse("releases:application_edit", args=["store"]), {**facts, "name": "Store 2", "slug": "other"})
    assert Application.objects.get(slug="store").name == "Store 2"


def test_the_pages_tell_what_happened_in_words(place: Place) -> None:
    client = browser(place.team.administrator)
    users.deactivate(user=place.team.viewer, actor=place.team.administrator, reason="On leave.")
    ledger.seal_now()
    text = client.get(reverse("releases:person_detail", args=[place.team.viewer.pk])).content.decode()
    assert "was deactivated: “On leave.”" in text
    text = client.get(reverse("releases:person_detail", args=[place.invited.pk])).content.decode()
    assert "Ivo Invited became viewer" in text
    assert "was invited at ivo@example.org" in text
    text = client.get(reverse("releases:application", args=[place.application.slug])).content.decode()
    assert "Plan v1 was published" in text
