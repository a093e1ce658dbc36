"""Who uses pretalx when a schedule is published: visitors who read, and speakers who log in and submit a talk.

A locustfile; named by the plan's check `load`. It leaves behind what its speakers made: accounts at load.invalid,
which the plan's transition leaves out, and their submissions. They submit with the access code of staging (seed.sh).
"""

import random
import re
from typing import Any
from uuid import uuid4

from locust import FastHttpUser, between, task

EVENT = "/democon"
ACCESS_CODE = "LOADTEST"
TOKEN = re.compile(r"name=\"?csrfmiddlewaretoken\"? type=\"?hidden\"? value=\"?([A-Za-z0-9]+)")
TALK = re.compile(rf"{EVENT}/talk/([A-Z0-9]{{6}})/")
TYPE = re.compile(r"<select[^>]* name=\"?submission_type.*?<option[^>]* selected[^>]*? value=\"?(\d+)|"
                  r"<select[^>]* name=\"?submission_type.*?<option value=\"?(\d+)", re.DOTALL)  # fmt: skip


class Person(FastHttpUser):
    abstract = True
    network_timeout = connection_timeout = 30.0
    insecure = False
    # Without it pretalx draws the schedule for a terminal.
    default_headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    def page(self, path: str, name: str, wanted: str = "") -> str:
        """Read a page. What is not the page that was wanted is a failure, also with status 200."""
        with self.client.get(path, name=name, catch_response=True) as answer:
            if answer.status_code == 200 and wanted and wanted not in (answer.text or ""):
                answer.failure(f"the page does not say {wanted!r}")
            return answer.text or ""

    def send(self, path: str, name: str, page: str, fields: dict[str, str], wanted: str) -> str:
        """Send the form of ``page``; ``wanted`` is part of the address that pretalx goes on to, which is returned."""
        token = TOKEN.search(page)
        data = {"csrfmiddlewaretoken": token[1] if token else "", **fields}
        with self.client.post(path, data=data, name=name, allow_redirects=False, catch_response=True) as answer:
            following = self.following(answer)
            if wanted in following:
                answer.success()
            else:
                answer.failure(f"answered {answer.status_code} to {following or 'the same page'}, not to {wanted}")
            return following

    @staticmethod
    def following(answer: Any) -> str:
        return str((answer.headers or {}).get("location", "")) if answer.status_code in (302, 303) else ""


class Visitor(Person):
    weight = 3
    wait_time = between(0.2, 0.8)

    def on_start(self) -> None:
        self.talks = TALK.findall(self.page(f"{EVENT}/schedule/nojs", "schedule without scripts", "/talk/"))

    @task(3)
    def schedule(self) -> None:
        """The page, and what its script then fetches."""
        self.page(f"{EVENT}/schedule/", "schedule", "pretalx-schedule")
        self.page(f"{EVENT}/schedule/widgets/schedule.json", "schedule data", '"talks"')

    @task(4)
    def talk(self) -> None:
        if self.talks:
            self.page(f"{EVENT}/talk/{random.choice(self.talks)}/", "talk")

    @task(1)
    def call_for_papers(self) -> None:
        self.page(f"{EVENT}/cfp", "call for papers")


class Speaker(Person):
    weight = 1
    wait_time = between(0.3, 1)

    def on_start(self) -> None:
        """Register, forget that, and log in as who has an account."""
        self.email, self.password = f"speaker-{uuid4().hex[:12]}@load.invalid", uuid4().hex
        page = self.page(f"{EVENT}/login/", "log-in page", "login_email")
        account = {"register_name": "Speaker of the load test", "register_email": self.email}
        account |= {"register_password": self.password, "register_password_repeat": self.password}
        self.send(f"{EVENT}/login/", "register", page, account, "/me/submissions")
        self.client.cookiejar.clear()
        page = self.page(f"{EVENT}/login/", "log-in page", "login_email")
        known = {"login_email": self.email, "login_password": self.password}
        self.send(f"{EVENT}/login/", "log in", page, known, "/me/submissions")

    @task(2)
    def submit(self) -> None:
        start = f"{EVENT}/submit/?access_code={ACCESS_CODE}"
        with self.client.get(start, name="submit: begin", allow_redirects=False, catch_response=True) as answer:
            info = self.following(answer)
            if "/info/" not in info:
                answer.failure(f"answered {answer.status_code}, no wizard; is the access code there?")
                return
            answer.success()
        page = self.page(info, "submit: talk", "submission_type")
        kind = TYPE.search(page)
        talk = {
            "title": f"What load tells, part {uuid4().hex[:6]}",
            "abstract": "Figures.",
            "description": "",
            "notes": "",
        }
        talk |= {"submission_type": (kind[1] or kind[2]) if kind else "", "additional_speaker": ""}
        profile = self.send(info, "submit: send talk", page, talk, "/profile/")
        if profile:
            page = self.page(profile, "submit: profile", "biography")
            person = {"name": "Speaker of the load test", "biography": "Made for a test."}
            person["availabilities"] = '{"availabilities": []}'
            self.send(profile, "submit: send profile", page, person, "/me/submissions")

    @task(1)
    def own_talks(self) -> None:
        self.page(f"{EVENT}/me/submissions/", "own talks")
