"""Each address of a load once, before any load: a wrong answer, or one from elsewhere, must be known by then."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from urllib.parse import unquote, urlsplit

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.plan import Request
from checks.tools import http
from checks.tools.loading.driving import Job

_PATIENT: Final = timedelta(seconds=30)


def ask_once(context: RunContext, job: Job, at: str = "") -> tuple[Job, list[str]]:
    """The job knows then where its addresses lead, and under load none may lead anywhere else; and sentences to tell.

    Which of them leads a visitor there may depend on what he asked before (a first visit is welcomed), so each may lead
    where another does. ``at``: names the environment where it is not the run's own. CheckError where no load may be
    made.
    """
    paths = [(one["path"], one["status"], one["text"]) for one in job.requests] or [("/", 200, "")]
    declared = [Request(path=path, status=status, text=text, within=_PATIENT) for path, status, text in paths]
    answers = http.ask_all(job.url, declared, answered=lambda answer: None, check=context.check)
    for answer in answers:
        context.note(f"{answer.path}: {answer.status or 'no answer'} in {answer.seconds * 1000:.0f} ms")
        _refuse_wrong(answer, job, at)
    led = {answer.path: end for answer in answers if (end := _end(answer))}
    leading = [request for request, answer in zip(declared, answers, strict=True) if _end(answer)]
    again = http.ask_all(job.url, leading, answered=lambda answer: None, check=context.check) if leading else []
    anywhere = {answer.path for answer in again if _end(answer) not in led.values()}
    ends = sorted({*led.values()})
    requests = tuple({**one, "ends": None if one["path"] in anywhere else ends} for one in job.requests)
    return replace(job, requests=requests), _told(answers) if job.requests else []


def _refuse_wrong(answer: http.Answer, job: Job, at: str) -> None:
    where = f" in {at}" if at else ""
    elsewhere = any("another host" in problem for problem in answer.problems)
    if answer.problems and (job.requests or answer.status is None or elsewhere):
        raise CheckError(
            f"{answer.path}{where}: {answer.problems[0]}, before any load.",
            remedy="No load was made. Let the environment answer as declared first.",
        )
    if job.requests and answer.is_wall:
        raise CheckError(
            f"{answer.path}{where} leads to {urlsplit(answer.redirected_to).path}, which asks for a password: load"
            " would be made on that page.",
            remedy="No load was made. Let a locustfile log in, or declare a text that stands on the page you mean.",
        )


def _told(answers: Sequence[http.Answer]) -> list[str]:
    led = [(answer.path, end) for answer in answers if (end := _end(answer))]
    return [f"{path} leads to {place}, and that page was loaded." for path, place in led] + [
        f"{answer.path} asks for a password, and that page was loaded." for answer in answers if answer.asks_password
    ]


def _end(answer: http.Answer) -> str:
    """The path where an answer came from; "" where that is what was asked, whatever its scheme and query are there."""
    asked, ended = (unquote(urlsplit(url).path) or "/" for url in (answer.url, answer.redirected_to or answer.url))
    return ended if ended != asked else ""
