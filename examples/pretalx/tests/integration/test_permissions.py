"""What visitors, speakers, reviewers, organisers and those of another conference may open."""

from django.test.client import ClientHandler
from django_scopes import scope
from pretalx.event.models import Team
from pretalx.person.models import User

from integration.world import ConferenceTestCase

#: Page of the organisers -> who may open it, beside nobody else.
PAGES = {
    "": {"organiser", "reviewer"},
    "submissions/": {"organiser", "reviewer"},
    "reviews/": {"organiser", "reviewer"},
    "speakers/": {"organiser", "reviewer"},
    "mails/outbox/": {"organiser"},
    "schedule/api/talks/": {"organiser"},
    "settings/": {"organiser"},
    "cfp/text": {"organiser"},
}


class PermissionTests(ConferenceTestCase):
    def people(self) -> dict[str, User | None]:
        return {"organiser": self.organiser, "reviewer": self.reviewer, "speaker": self.speaker,
                "stranger": self.stranger, "nobody": None}  # fmt: skip

    def test_pages_of_organisers_are_open_to_whom_they_belong(self) -> None:
        for path, allowed in PAGES.items():
            for name, user in self.people().items():
                with self.subTest(page=path or "dashboard", person=name):
                    answer = self.browser(user).get(f"/orga/event/first/{path}")
                    if name in allowed:
                        self.assertEqual(answer.status_code, 200)
                    else:
                        self.assert_refused(answer)

    def test_the_list_of_proposals_holds_this_conference_alone(self) -> None:
        page = self.browser(self.organiser).get("/orga/event/first/submissions/")
        self.assertContains(page, "Tunnels that leak")
        self.assert_refused(self.browser(self.organiser).get("/orga/event/second/submissions/"))

    def test_a_right_that_is_taken_away_is_gone_at_once(self) -> None:
        client = self.browser(self.organiser)
        self.assertEqual(client.get("/orga/event/first/mails/outbox/").status_code, 200)
        Team.objects.filter(name="Organisers").update(can_change_submissions=False)
        self.assert_refused(client.get("/orga/event/first/mails/outbox/"))

    def test_only_administrators_see_administration(self) -> None:
        for name, user in self.people().items():
            with self.subTest(person=name):
                self.assert_refused(self.browser(user).get("/orga/admin/"))
        User.objects.filter(pk=self.organiser.pk).update(is_administrator=True)
        self.assertEqual(self.browser(self.organiser).get("/orga/admin/").status_code, 200)

    def test_an_event_that_is_not_public_is_hidden_from_all_but_its_team(self) -> None:
        event = self.fresh_event()
        event.is_public = False
        event.save()
        for user in (None, self.visitor, self.stranger):
            self.assert_refused(self.browser(user).get("/first/"))
            self.assert_refused(self.browser(user).get("/first/schedule/nojs"))
        self.assertEqual(self.browser(self.organiser).get("/first/").status_code, 200)

    def test_a_deactivated_account_is_nobody(self) -> None:
        client = self.browser(self.organiser)
        User.objects.filter(pk=self.organiser.pk).update(is_active=False)
        self.assert_refused(client.get("/orga/event/first/"))

    def test_a_form_without_its_token_changes_nothing(self) -> None:
        client = self.browser(self.proposer)
        client.handler = ClientHandler(enforce_csrf_checks=True)
        answer = client.post(f"/first/me/submissions/{self.idea.code}/withdraw")
        self.assertEqual(answer.status_code, 403)
        with scope(event=self.event):
            self.idea.refresh_from_db()
        self.assertEqual(self.idea.state, "submitted")
