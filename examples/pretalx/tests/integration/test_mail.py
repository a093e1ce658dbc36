"""Mails wait in the outbox until an organiser sends them, and reach whom they are for."""

from django.core import mail
from django.test import Client
from django_scopes import scope
from pretalx.mail.models import MailTemplateRoles, QueuedMail

from integration.world import ConferenceTestCase


class MailTests(ConferenceTestCase):
    def accept(self) -> QueuedMail:
        with scope(event=self.event):
            self.idea.accept()
            return self.event.queued_mails.get(to_users=self.proposer, sent=None)

    def organisers(self) -> Client:
        return self.browser(self.organiser)

    def test_an_acceptance_waits_in_the_outbox(self) -> None:
        mail.outbox.clear()
        waiting = self.accept()
        self.assertEqual(mail.outbox, [])
        self.assertIn("Tunnels that leak", waiting.text)
        self.assertContains(self.organisers().get("/orga/event/first/mails/outbox/"), str(waiting.subject))

    def test_it_leaves_when_an_organiser_sends_it_and_only_once(self) -> None:
        waiting = self.accept()
        mail.outbox.clear()
        path = f"/orga/event/first/mails/{waiting.pk}/send"
        for _ in range(2):
            self.organisers().post(path)
        self.assertEqual([each.to for each in mail.outbox], [[self.proposer.email]])
        self.assertIn("Tunnels that leak", mail.outbox[0].body)
        with scope(event=self.event):
            waiting.refresh_from_db()
        self.assertIsNotNone(waiting.sent)

    def test_what_is_discarded_never_leaves(self) -> None:
        waiting = self.accept()
        mail.outbox.clear()
        self.organisers().post(f"/orga/event/first/mails/{waiting.pk}/delete")
        self.organisers().post("/orga/event/first/mails/outbox/send")
        self.assertEqual({recipient for each in mail.outbox for recipient in each.to}, {self.speaker.email})

    def test_who_may_not_sends_nothing_and_discards_nothing(self) -> None:
        waiting = self.accept()
        mail.outbox.clear()
        for user in (self.reviewer, self.speaker, self.stranger, None):
            for path in ("outbox/send", "outbox/purge", f"{waiting.pk}/delete"):
                self.assert_refused(self.browser(user).post(f"/orga/event/first/mails/{path}"))
        self.assertEqual(mail.outbox, [])
        with scope(event=self.event):
            self.assertTrue(self.event.queued_mails.filter(pk=waiting.pk, sent=None).exists())

    def test_answers_go_to_the_event_and_its_prefix_is_on_the_subject(self) -> None:
        event = self.fresh_event()
        event.mail_settings |= {"subject_prefix": "first26", "reply_to": "talks@conference.test"}
        event.save()
        waiting = self.accept()
        mail.outbox.clear()
        self.organisers().post(f"/orga/event/first/mails/{waiting.pk}/send")
        self.assertTrue(mail.outbox[0].subject.startswith("[first26] "))
        self.assertEqual(mail.outbox[0].reply_to, ["Conference first <talks@conference.test>"])

    def test_a_new_schedule_tells_its_speakers(self) -> None:
        with scope(event=self.event):
            self.fresh_event().wip_schedule.freeze("2.0", notify_speakers=True)
            told = self.event.queued_mails.get(template__role=MailTemplateRoles.NEW_SCHEDULE)
            self.assertEqual([each.email for each in told.to_users.all()], [self.speaker.email])
        self.assertIn("Roofs that fly", told.text)
        self.assertEqual(len(told.attachments), 1, "the speaker gets no calendar file")
