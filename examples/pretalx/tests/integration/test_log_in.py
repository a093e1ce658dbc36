"""Logging in and out, and a password that was forgotten."""

import datetime as dt
import re

from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.utils.timezone import now
from pretalx.person.models import User

from integration.world import PASSWORD, ConferenceTestCase

NEW = "another-long-secret-7"
OWN_PAGE = "/first/me/submissions/"


class LogInTests(ConferenceTestCase):
    def log_in(self, client: Client, email: str, password: str) -> HttpResponse:
        return client.post("/first/login/", {"login_email": email, "login_password": password})

    def assert_logged_in(self, client: Client, expected: bool) -> None:
        self.assertEqual(client.get(OWN_PAGE).status_code, 200 if expected else 302)

    def reset_address(self) -> str:
        self.client.post("/first/reset", {"login_email": self.proposer.email.upper()})
        self.assertEqual([each.to for each in mail.outbox], [[self.proposer.email]])
        found = re.search(r"https?://[^/\s]+(/first/reset/\w+)", mail.outbox[0].body)
        self.assertIsNotNone(found, mail.outbox[0].body)
        return found[1]

    def test_address_and_password_open_the_own_pages(self) -> None:
        self.assert_logged_in(self.client, False)
        answer = self.log_in(self.client, self.proposer.email, PASSWORD)
        self.assertEqual(answer["Location"], OWN_PAGE)
        self.assertContains(self.client.get(OWN_PAGE), "Tunnels that leak")

    def test_a_wrong_password_and_an_unknown_address_are_answered_alike(self) -> None:
        words = "No user account matches the entered credentials"
        for email in (self.proposer.email, "nobody@conference.test"):
            self.assertContains(self.log_in(self.client, email, "guess"), words)
        self.assert_logged_in(self.client, False)

    def test_logging_in_changes_the_session_and_logging_out_ends_it(self) -> None:
        self.log_in(self.client, self.proposer.email, PASSWORD)
        first = self.client.cookies["pretalx_session"].value
        self.client.post("/first/logout")
        self.assert_logged_in(self.client, False)
        self.client.cookies["pretalx_session"] = first
        self.assert_logged_in(self.client, False)

    def test_the_log_in_leads_to_no_other_site(self) -> None:
        client = self.browser()
        answer = client.post("/orga/login/?next=https://elsewhere.test/",
                             {"login_email": self.organiser.email, "login_password": PASSWORD})  # fmt: skip
        self.assertEqual(answer.status_code, 302)
        self.assertFalse(answer["Location"].startswith(("http", "//")))

    def test_a_forgotten_password_is_replaced_by_the_link_of_a_mail(self) -> None:
        address = self.reset_address()
        mail.outbox.clear()
        self.assertEqual(self.client.get(address).status_code, 200)
        self.client.post(address, {"password": NEW, "password_repeat": NEW})
        self.log_in(self.client, self.proposer.email, PASSWORD)
        self.assert_logged_in(self.client, False)
        self.log_in(self.client, self.proposer.email, NEW)
        self.assert_logged_in(self.client, True)
        self.assertEqual([each.to for each in mail.outbox], [[self.proposer.email]], "the change was not told")

    def test_a_link_works_once_and_for_a_day(self) -> None:
        address = self.reset_address()
        User.objects.filter(pk=self.proposer.pk).update(pw_reset_time=now() - dt.timedelta(hours=25))
        self.assertEqual(self.client.get(address).status_code, 302)
        User.objects.filter(pk=self.proposer.pk).update(pw_reset_time=now())
        self.client.post(address, {"password": NEW, "password_repeat": NEW})
        self.client.post(address, {"password": "a-third-secret-5", "password_repeat": "a-third-secret-5"})
        self.proposer.refresh_from_db()
        self.assertTrue(self.proposer.check_password(NEW))

    def test_an_unknown_address_gets_no_mail_and_the_same_answer(self) -> None:
        known = self.client.post("/first/reset", {"login_email": self.speaker.email})
        sent = len(mail.outbox)
        unknown = self.client.post("/first/reset", {"login_email": "nobody@conference.test"})
        self.assertEqual((known.status_code, known["Location"]), (unknown.status_code, unknown["Location"]))
        self.assertEqual((sent, len(mail.outbox)), (1, 1))
