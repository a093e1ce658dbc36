"""Pages of the schedule, talks and speakers, as visitors see them."""

import datetime as dt

from django_scopes import scope

from integration.world import ConferenceTestCase


class ScheduleTests(ConferenceTestCase):
    def test_the_published_schedule_names_talk_room_and_local_time(self) -> None:
        answer = self.client.get("/first/schedule/nojs")
        for text in ("Bridges that hold", "Great Hall", "10:00"):
            self.assertContains(answer, text)

    def test_what_is_not_published_yet_is_not_on_it(self) -> None:
        self.assertNotContains(self.client.get("/first/schedule/nojs"), "Roofs that fly")
        self.assertEqual(self.client.get(f"/first/talk/{self.draft.code}/").status_code, 404)

    def test_a_new_version_brings_it_and_the_old_one_stays_readable(self) -> None:
        with scope(event=self.event):
            self.fresh_event().wip_schedule.freeze("2.0", notify_speakers=False)
        self.assertContains(self.client.get("/first/schedule/nojs"), "Roofs that fly")
        old = self.client.get("/first/schedule/v/1.0/nojs")
        self.assertContains(old, "Bridges that hold")
        self.assertNotContains(old, "Roofs that fly")

    def test_the_changelog_tells_what_a_version_brought(self) -> None:
        with scope(event=self.event):
            event = self.fresh_event()
            self.place(self.talk, self.begins + dt.timedelta(hours=5))
            event.wip_schedule.freeze("2.0", notify_speakers=False)
        answer = self.client.get("/first/schedule/changelog/")
        self.assertContains(answer, "2.0")
        self.assertContains(answer, "Roofs that fly")

    def test_a_talk_names_its_abstract_and_speaker(self) -> None:
        answer = self.client.get(f"/first/talk/{self.talk.code}/")
        for text in ("Bridges that hold", "About Bridges that hold.", "Sven"):
            self.assertContains(answer, text)

    def test_a_speaker_has_a_page_with_biography_and_talks(self) -> None:
        answer = self.client.get(f"/first/speaker/{self.speaker.code}/")
        for text in ("Sven speaks.", "Bridges that hold"):
            self.assertContains(answer, text)
        self.assertNotContains(answer, self.speaker.email)

    def test_who_only_proposed_has_no_public_page(self) -> None:
        self.assertEqual(self.client.get(f"/first/speaker/{self.proposer.code}/").status_code, 404)
        self.assertEqual(self.client.get(f"/first/talk/{self.idea.code}/").status_code, 404)

    def test_a_hidden_schedule_is_for_organisers_only(self) -> None:
        event = self.fresh_event()
        event.feature_flags["show_schedule"] = False
        event.save()
        self.assertNotContains(self.client.get("/first/schedule/nojs", follow=True), "Bridges that hold")
        self.assertContains(self.browser(self.organiser).get("/first/schedule/nojs"), "Bridges that hold")
