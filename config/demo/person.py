"""A person at a browser: logs in, opens pages, fills in forms, reads what the page answers."""

import re
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from config.demo.pages import fields, refusals

_NUMBER = re.compile(r"/runs/(\d+)/")
_RELEASE = re.compile(r"/releases/([0-9a-f-]{36})/")


class Refused(Exception):
    """The page said no; the text is what it said."""


class Person:
    """One logged-in session."""

    def __init__(self, address: str, email: str, password: str) -> None:
        self.email = email
        self.name = email.split("@")[0]
        self.http = httpx.Client(base_url=address, follow_redirects=True, timeout=120, headers={"Referer": address})
        self._log_in(password)

    def _log_in(self, password: str) -> None:
        page = self.submit("/accounts/login/", {"login": self.email, "password": password})
        if page.url.path.startswith("/accounts/login"):
            raise Refused(f"{self.email} could not log in: {refusals(page.text) or 'the log-in page came back'}")

    def open(self, path: str) -> httpx.Response:
        """GET a page; an answer other than 200 is a Refused."""
        answer = self.http.get(path)
        if answer.status_code != 200:
            raise Refused(f"{path} answered {answer.status_code} to {self.email}: {refusals(answer.text)}")
        return answer

    def submit(
        self, path: str, data: dict[str, Any] | None = None, files: dict[str, Any] | None = None
    ) -> httpx.Response:
        """POST a form as its page would. The page that comes back must not show an error."""
        if "csrftoken" not in self.http.cookies and "__Host-csrftoken" not in self.http.cookies:
            self.http.get("/accounts/login/")
        token = next((value for name, value in self.http.cookies.items() if "csrftoken" in name), "")
        answer = self.http.post(path, data={**(data or {}), "csrfmiddlewaretoken": token}, files=files)
        problem = refusals(answer.text) if answer.headers.get("content-type", "").startswith("text/html") else ""
        if answer.status_code != 200 or problem:
            raise Refused(problem or f"{path} answered {answer.status_code}")
        return answer

    def start(self, path: str, data: dict[str, Any] | None = None) -> int:
        """Start a run from its form, with what stands there and ``data``; its number."""
        held = fields(self.open(path).text, urlsplit(path).path)
        answer = self.submit(path, {**held, **(data or {})})
        match = _NUMBER.search(str(answer.url))
        if match is None:
            raise Refused(f"no run began: {answer.url}")
        return int(match.group(1))

    def wait(self, number: int, seconds: float) -> dict[str, Any]:
        """Wait for a run to end; its figures by the API. TimeoutError after ``seconds``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            run: dict[str, Any] = self.open(f"/api/runs/{number}").json()
            if run["state"] not in ("queued", "running"):
                return run
            time.sleep(0.3)
        raise TimeoutError(f"run #{number} did not end within {seconds:.0f} s")


def release_of(answer: httpx.Response) -> UUID:
    """The release whose page answered."""
    match = _RELEASE.search(str(answer.url))
    if match is None:
        raise Refused(f"no release was made: {answer.url} {refusals(answer.text)}")
    return UUID(match.group(1))
