"""A conference at a domain of its own, and hosts that nobody knows."""

from django.conf import settings

from integration.world import ConferenceTestCase

DOMAIN = "first.conference.test"


class HostTests(ConferenceTestCase):
    @classmethod
    def make_world(cls) -> None:
        super().make_world()
        cls.event.custom_domain = f"https://{DOMAIN}"
        cls.event.save()

    def test_it_answers_at_its_own_domain(self) -> None:
        answer = self.browser(host=DOMAIN).get("/first/schedule/nojs")
        self.assertContains(answer, "Bridges that hold")

    def test_the_site_leads_there(self) -> None:
        answer = self.client.get("/first/schedule/nojs")
        self.assertRedirects(answer, f"https://{DOMAIN}/first/schedule/nojs", fetch_redirect_response=False)

    def test_organisers_stay_at_the_site(self) -> None:
        self.assertEqual(self.browser(self.organiser).get("/orga/event/first/").status_code, 200)
        answer = self.browser(self.organiser, host=DOMAIN).get("/orga/event/first/")
        self.assertRedirects(answer, f"{settings.SITE_URL}/orga/event/first/", fetch_redirect_response=False)

    def test_another_conference_is_not_found_at_it(self) -> None:
        self.assertEqual(self.browser(host=DOMAIN).get("/second/").status_code, 404)

    def test_its_start_page_is_the_conference(self) -> None:
        answer = self.browser(host=DOMAIN).get("/", secure=True)
        self.assertRedirects(answer, f"https://{DOMAIN}/first/", fetch_redirect_response=False)

    def test_a_host_that_nobody_knows_is_refused(self) -> None:
        for path, status in (("/", 400), ("/first/", 404), ("/second/", 404)):
            self.assertEqual(self.browser(host="evil.test").get(path).status_code, status, path)

    def test_links_in_exports_name_its_domain(self) -> None:
        schedule = self.browser(host=DOMAIN).get("/first/schedule/export/schedule.json").json()["schedule"]
        talk = schedule["conference"]["days"][0]["rooms"]["Great Hall"][0]
        self.assertEqual(talk["url"], f"https://{DOMAIN}/first/talk/{self.talk.code}/")
