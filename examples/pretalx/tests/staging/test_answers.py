"""What runs in staging, asked from outside as browsers and other programs ask it. Changes nothing there but by speakers
of its own at acceptance.invalid, whom the plan's transition leaves out.
"""

import os
import re
import unittest
import uuid
from html import unescape
from pathlib import Path

import requests

SITE = f"http://127.0.0.1:{os.environ['PORT']}"
EVENT = f"{SITE}/democon"
SECONDS = 30
TOKEN = re.compile(r"name=\"?csrfmiddlewaretoken\"? type=\"?hidden\"? value=\"?([A-Za-z0-9]+)")


class Browser:
    """Keeps its cookies by hand: pretalx keeps its token for HTTPS only, which a proxy in front of it brings."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, address: str, fields: dict[str, str] | None = None) -> requests.Response:
        headers = {"Accept": "text/html,*/*", "Referer": address}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = requests.request(method, address, data=fields, headers=headers, timeout=SECONDS, allow_redirects=False)
        self.cookies |= {name: value for name, value in answer.cookies.items() if value}
        return answer

    def get(self, address: str) -> requests.Response:
        return self.ask("GET", address)

    def send(self, address: str, fields: dict[str, str]) -> requests.Response:
        token = TOKEN.search(self.get(address).text)
        return self.ask("POST", address, {**fields, "csrfmiddlewaretoken": token[1] if token else ""})


class PublicPageTests(unittest.TestCase):
    def test_the_build_under_test_is_what_runs(self) -> None:
        release = Path(os.environ["APP_HOME"], "current").resolve().name
        digest = os.environ["GONOGO_BUILD_DIGEST"].removeprefix("sha256:")[:12]
        self.assertEqual(release, f"{os.environ['GONOGO_VERSION']}-{digest}")

    def test_the_schedule_leads_to_talks_and_these_to_speakers(self) -> None:
        talks = sorted(set(re.findall(r"/democon/talk/([A-Z0-9]{6})/", requests.get(
            f"{EVENT}/schedule/nojs", timeout=SECONDS, headers={"Accept": "text/html"}).text)))  # fmt: skip
        self.assertGreater(len(talks), 20)
        for code in talks[:3]:
            talk = requests.get(f"{EVENT}/talk/{code}/", timeout=SECONDS)
            self.assertEqual(talk.status_code, 200)
            speakers = re.findall(r"/democon/speaker/([A-Z0-9]{6})/", talk.text)
            self.assertTrue(speakers, f"nobody gives {code}")
            self.assertEqual(requests.get(f"{EVENT}/speaker/{speakers[0]}/", timeout=SECONDS).status_code, 200)

    def test_exports_and_the_api_tell_of_the_same_talks(self) -> None:
        schedule = requests.get(f"{EVENT}/schedule/export/schedule.json", timeout=SECONDS).json()["schedule"]
        days = schedule["conference"]["days"]
        exported = {talk["code"] for day in days for room in day["rooms"].values() for talk in room}
        calendar = requests.get(f"{EVENT}/schedule/export/schedule.ics", timeout=SECONDS).text
        api = requests.get(f"{SITE}/api/events/democon/submissions/?page_size=100", timeout=SECONDS).json()
        self.assertGreater(len(exported), 20)
        self.assertEqual(calendar.count("BEGIN:VEVENT"), len(exported))
        self.assertEqual({each["code"] for each in api["results"]}, exported)

    def test_static_files_that_a_page_names_are_served(self) -> None:
        page = requests.get(f"{EVENT}/", timeout=SECONDS).text
        files = sorted(set(re.findall(r"(?:href|src)=\"?(/static/[^\s\">]+)", page)))
        self.assertGreater(len(files), 3)
        for path in files:
            self.assertEqual(requests.get(f"{SITE}{path}", timeout=SECONDS).status_code, 200, path)

    def test_what_is_not_there_says_so_and_tells_nothing_else(self) -> None:
        answer = requests.get(f"{EVENT}/talk/NOSUCH/", timeout=SECONDS)
        self.assertEqual(answer.status_code, 404)
        self.assertNotIn("Traceback", answer.text)

    def test_a_host_that_nobody_knows_is_refused(self) -> None:
        answer = requests.get(f"{EVENT}/", timeout=SECONDS, headers={"Host": "evil.test"})
        self.assertEqual(answer.status_code, 404)


class PeopleTests(unittest.TestCase):
    def setUp(self) -> None:
        self.browser = Browser()
        self.email, self.password = f"suite-{uuid.uuid4().hex[:12]}@acceptance.invalid", uuid.uuid4().hex

    def register(self) -> None:
        account = {"register_name": "Suite", "register_email": self.email, "register_password": self.password,
                   "register_password_repeat": self.password}  # fmt: skip
        answer = self.browser.send(f"{EVENT}/login/", account)
        self.assertIn("/democon/me/submissions/", answer.headers.get("Location", ""), answer.status_code)

    def test_pages_of_organisers_ask_who_it_is_and_refuse_speakers(self) -> None:
        page = f"{SITE}/orga/event/democon/submissions/"
        self.assertIn("/login/", Browser().get(page).headers.get("Location", ""))
        self.register()
        self.assertEqual(self.browser.get(page).status_code, 404)

    def test_a_speaker_registers_submits_and_finds_the_proposal(self) -> None:
        self.register()
        begin = self.browser.get(f"{EVENT}/submit/?access_code=LOADTEST").headers["Location"]
        page = self.browser.get(f"{SITE}{begin}")
        kind = re.search(r"<select[^>]* name=\"?submission_type.*?<option[^>]*value=\"?(\d+)", page.text, re.DOTALL)
        title = f"Seen by the suite {uuid.uuid4().hex[:6]}"
        talk = {"title": title, "abstract": "It was.", "submission_type": kind[1] if kind else "", "description": "",
                "notes": "", "additional_speaker": ""}  # fmt: skip
        profile = self.browser.send(f"{SITE}{begin}", talk).headers.get("Location", "")
        self.assertIn("/profile/", profile)
        about = {"name": "Suite", "biography": "Tests.", "availabilities": '{"availabilities": []}'}
        self.browser.send(f"{SITE}{profile}", about)
        self.assertIn(title, unescape(self.browser.get(f"{EVENT}/me/submissions/").text))

    def test_a_wrong_password_opens_nothing(self) -> None:
        self.register()
        stranger = Browser()
        answer = stranger.send(f"{EVENT}/login/", {"login_email": self.email, "login_password": "guess"})
        self.assertEqual(answer.status_code, 200)
        self.assertIn("No user account matches", answer.text)
        self.assertIn("/login/", stranger.get(f"{EVENT}/me/submissions/").headers.get("Location", ""))
