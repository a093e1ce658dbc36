"""The API of the schedule and of proposals: open data for everybody, the rest by a token and its rights."""

import datetime as dt

from django.test import Client
from django.utils.timezone import now
from pretalx.person.models import User, UserApiToken

from integration.world import ConferenceTestCase

READ = {name: ["list", "retrieve"] for name in ("events", "submissions", "schedules", "slots", "speakers", "reviews")}


class ApiTests(ConferenceTestCase):
    def token(self, user: User, **more: object) -> Client:
        token = UserApiToken.objects.create(name="Test", user=user, **{"endpoints": READ, **more})
        token.events.add(self.event)
        client = self.browser()
        client.defaults["HTTP_AUTHORIZATION"] = f"Token {token.token}"
        return client

    def titles(self, client: Client, path: str = "submissions/") -> set[str]:
        answer = client.get(f"/api/events/first/{path}")
        self.assertEqual(answer.status_code, 200, answer.content[:300])
        return {each["title"] for each in answer.json()["results"]}

    def test_everybody_reads_the_published_schedule_with_its_talks(self) -> None:
        answer = self.client.get("/api/events/first/schedules/latest/?expand=slots.submission,slots.room").json()
        self.assertEqual(answer["version"], "1.0")
        slots = {each["submission"]["title"]: each for each in answer["slots"] if each["submission"]}
        self.assertEqual(set(slots), {"Bridges that hold"})
        slot = slots["Bridges that hold"]
        self.assertEqual(dt.datetime.fromisoformat(slot["start"]), self.begins)
        self.assertEqual(slot["room"]["name"]["en"], "Great Hall")

    def test_the_unpublished_schedule_is_for_organisers(self) -> None:
        self.assert_refused_by_api(self.client, "schedules/wip/")
        self.assertEqual(self.token(self.organiser).get("/api/events/first/schedules/wip/").status_code, 200)

    def assert_refused_by_api(self, client: Client, path: str) -> None:
        self.assertIn(client.get(f"/api/events/first/{path}").status_code, (401, 403, 404))

    def test_visitors_list_published_talks_and_organisers_all_proposals(self) -> None:
        self.assertEqual(self.titles(self.client), {"Bridges that hold"})
        everything = {"Bridges that hold", "Tunnels that leak", "Roofs that fly"}
        self.assertEqual(self.titles(self.token(self.organiser)), everything)

    def test_addresses_of_speakers_are_for_organisers_only(self) -> None:
        public = self.client.get("/api/events/first/speakers/").json()["results"]
        self.assertEqual([(each["name"], each.get("email")) for each in public], [("Sven", None)])
        whole = self.token(self.organiser).get("/api/events/first/speakers/").json()["results"]
        self.assertIn(self.proposer.email, {each["email"] for each in whole})

    def test_reviews_are_neither_for_visitors_nor_for_speakers(self) -> None:
        self.assert_refused_by_api(self.client, "reviews/")
        self.assert_refused_by_api(self.token(self.speaker), "reviews/")
        self.assertEqual(self.token(self.organiser).get("/api/events/first/reviews/").status_code, 200)

    def test_a_token_that_expired_or_was_invented_opens_nothing(self) -> None:
        expired = self.token(self.organiser, expires=now() - dt.timedelta(minutes=1))
        invented = self.browser()
        invented.defaults["HTTP_AUTHORIZATION"] = f"Token {'a' * 64}"
        for client in (expired, invented):
            self.assertEqual(client.get("/api/events/first/submissions/").status_code, 401)

    def test_a_token_does_what_it_was_made_for_and_no_more(self) -> None:
        reading = self.token(self.organiser)
        path = f"/api/events/first/submissions/{self.idea.code}/"
        self.assertEqual(reading.get(path).status_code, 200)
        self.assertEqual(reading.delete(path).status_code, 403)
        self.assertEqual(reading.get("/api/events/first/rooms/").status_code, 403)

    def test_a_token_for_one_conference_is_none_for_another(self) -> None:
        client = self.token(self.organiser)
        self.assertEqual(client.get("/api/events/second/submissions/").status_code, 403)
        self.assertEqual(self.titles(self.token(self.stranger)), {"Bridges that hold"}, "as a visitor, at most")
