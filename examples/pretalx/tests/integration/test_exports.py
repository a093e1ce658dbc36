"""Calendars and schedules for other programs: iCal, frab's XML and JSON, and the feed of versions."""

import datetime as dt

import vobject
from defusedxml import ElementTree

from integration.world import ConferenceTestCase


class ExportTests(ConferenceTestCase):
    def test_the_calendar_holds_each_published_talk_at_its_time(self) -> None:
        answer = self.client.get("/first/schedule/export/schedule.ics")
        self.assertTrue(answer["Content-Type"].startswith("text/calendar"))
        events = vobject.readOne(answer.content.decode()).vevent_list
        self.assertEqual(len(events), 1)
        self.assertIn("Bridges that hold", events[0].summary.value)
        self.assertEqual(events[0].dtstart.value.astimezone(dt.UTC), self.begins.astimezone(dt.UTC))
        self.assertEqual(events[0].location.value, "Great Hall")

    def test_a_talk_has_a_calendar_of_its_own(self) -> None:
        answer = self.client.get(f"/first/talk/{self.talk.code}.ics")
        self.assertIn("Bridges that hold", vobject.readOne(answer.content.decode()).vevent.summary.value)

    def test_json_holds_conference_day_room_and_talk(self) -> None:
        schedule = self.client.get("/first/schedule/export/schedule.json").json()["schedule"]
        self.assertEqual(schedule["version"], "1.0")
        conference = schedule["conference"]
        self.assertEqual((conference["acronym"], conference["daysCount"]), ("first", 2))
        talks = conference["days"][0]["rooms"]["Great Hall"]
        self.assertEqual([(each["title"], each["start"], each["duration"]) for each in talks],
                         [("Bridges that hold", "10:00", "00:30")])  # fmt: skip
        self.assertEqual([each["public_name"] for each in talks[0]["persons"]], ["Sven"])

    def test_xml_holds_the_same(self) -> None:
        root = ElementTree.fromstring(self.client.get("/first/schedule/export/schedule.xml").content)
        self.assertEqual(root.findtext("version"), "1.0")
        found = root.findall("day/room[@name='Great Hall']/event")
        self.assertEqual([(each.findtext("title"), each.findtext("start")) for each in found],
                         [("Bridges that hold", "10:00")])  # fmt: skip

    def test_the_feed_names_each_version(self) -> None:
        answer = self.client.get("/first/schedule/feed.xml")
        self.assertContains(answer, "New Conference first schedule released")
        root = ElementTree.fromstring(answer.content)
        self.assertEqual(len(root.findall("{*}entry")), 1)

    def test_exports_of_a_hidden_schedule_are_hidden(self) -> None:
        event = self.fresh_event()
        event.feature_flags["show_schedule"] = False
        event.save()
        for name in ("schedule.ics", "schedule.json", "schedule.xml"):
            self.assertEqual(self.client.get(f"/first/schedule/export/{name}").status_code, 404)

    def test_the_list_of_speakers_with_addresses_is_for_organisers(self) -> None:
        path = "/first/schedule/export/speakers.csv"
        self.assert_refused(self.client.get(path))
        self.assert_refused(self.browser(self.speaker).get(path))
        self.assertContains(self.browser(self.organiser).get(path), "Sven")
