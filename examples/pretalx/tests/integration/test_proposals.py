"""A speaker submits a proposal by the wizard, edits it and withdraws it."""

import datetime as dt
import json

from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.utils.timezone import now
from django_scopes import scope
from pretalx.person.models import User
from pretalx.submission.models import Submission

from integration.world import PASSWORD, ConferenceTestCase

TITLE = "Walls that talk"
PROFILE = {"name": "Vera", "biography": "Listens to walls.", "availabilities": json.dumps({"availabilities": []})}


class ProposalTests(ConferenceTestCase):
    def talk_fields(self) -> dict[str, str]:
        kind = self.event.cfp.default_type.pk
        return {"title": TITLE, "abstract": "They do.", "description": "", "notes": "", "submission_type": str(kind),
                "content_locale": "en", "additional_speaker": ""}  # fmt: skip

    def walk(self, client: Client, *more: dict[str, str]) -> HttpResponse:
        """From the start to the last step, sending to each step what belongs to it."""
        address = client.get("/first/submit/", follow=True).redirect_chain[-1][0]
        for fields in (self.talk_fields(), *more):
            answer = client.post(address, fields)
            self.assertEqual(answer.status_code, 302, "the step was refused")
            address = answer["Location"]
        return answer

    def submitted(self) -> Submission:
        with scope(event=self.event):
            return self.event.submissions.get(title=TITLE)

    def test_after_log_in_a_proposal_is_kept_with_its_speaker(self) -> None:
        answer = self.walk(self.browser(self.visitor), PROFILE)
        self.assertEqual(answer["Location"], "/first/me/submissions/")
        submission = self.submitted()
        self.assertEqual((submission.state, submission.abstract), ("submitted", "They do."))
        self.assertEqual([each.email for each in submission.speakers.all()], [self.visitor.email])
        self.assertContains(self.browser(self.visitor).get("/first/me/submissions/"), TITLE)

    def test_a_new_speaker_registers_on_the_way(self) -> None:
        account = {"register_name": "Nora", "register_email": "nora@conference.test", "register_password": PASSWORD,
                   "register_password_repeat": PASSWORD}  # fmt: skip
        client = self.browser()
        self.walk(client, account, {**PROFILE, "name": "Nora"})
        self.assertEqual(self.submitted().speakers.get(), User.objects.get(email="nora@conference.test"))
        self.assertContains(client.get("/first/me/submissions/"), TITLE)

    def test_the_speaker_gets_a_mail_and_so_does_the_event(self) -> None:
        event = self.fresh_event()
        event.mail_settings["mail_on_new_submission"] = True
        event.save()
        self.walk(self.browser(self.visitor), PROFILE)
        sent = {recipient: each for each in mail.outbox for recipient in each.to}
        self.assertEqual(set(sent), {self.visitor.email, self.event.email})
        self.assertIn(TITLE, sent[self.visitor.email].subject + sent[self.visitor.email].body)

    def test_a_proposal_without_title_is_refused(self) -> None:
        client = self.browser(self.visitor)
        address = client.get("/first/submit/", follow=True).redirect_chain[-1][0]
        answer = client.post(address, self.talk_fields() | {"title": ""})
        self.assertContains(answer, "This field is required")

    def test_when_the_call_is_over_nobody_submits_except_with_an_access_code(self) -> None:
        with scope(event=self.event):
            self.event.cfp.__class__.objects.filter(event=self.event).update(deadline=now() - dt.timedelta(days=1))
            self.event.submitter_access_codes.create(event=self.event, code="LATECOMER")
        client = self.browser(self.visitor)
        refused = client.get("/first/submit/", follow=True)
        self.assertEqual(refused.redirect_chain[-1][0], "/first/cfp")
        self.assertContains(refused, "Proposals are closed")
        self.assertContains(client.get("/first/submit/?access_code=LATECOMER", follow=True), "id=id_title")
        self.assertRedirects(client.get("/first/submit/?access_code=GUESSED", follow=True), "/first/cfp")

    def test_a_speaker_withdraws_what_nobody_accepted_yet(self) -> None:
        self.browser(self.proposer).post(f"/first/me/submissions/{self.idea.code}/withdraw")
        with scope(event=self.event):
            self.idea.refresh_from_db()
        self.assertEqual(self.idea.state, "withdrawn")

    def test_another_speaker_neither_sees_nor_withdraws_it(self) -> None:
        client = self.browser(self.speaker)
        for path in ("", "withdraw"):
            self.assert_refused(client.get(f"/first/me/submissions/{self.idea.code}/{path}"))
            self.assert_refused(client.post(f"/first/me/submissions/{self.idea.code}/{path}"))
        with scope(event=self.event):
            self.idea.refresh_from_db()
        self.assertEqual(self.idea.state, "submitted")
