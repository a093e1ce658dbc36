"""Log-in and sessions of the running application, tried with the account that the plan names for audits.

This is an active look: it fails to log in on purpose, may lock accounts for a while, and may leave an account behind.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Duration, Path, Section
from checks.tools.auditing import asking, guessing, limits, sessions
from checks.tools.auditing.asking import Visitor
from checks.tools.auditing.auth_rules import RULES
from checks.tools.auditing.guessing import ResetSection
from checks.tools.auditing.login import Login, LoginSection
from checks.tools.auditing.looking import Seen, step_by_step
from checks.tools.auditing.said import Covered, Family, Found, RoutePlace, Severity
from checks.tools.auditing.signing_up import SignUpSection, refuses_known, try_weak_passwords

LONGEST_WAIT: Final = timedelta(minutes=30)
FOREIGN: Final = {"Origin": "https://gonogo-audit.invalid", "Sec-Fetch-Site": "cross-site", "Referer": ""}


Question = Literal["form", "session", "log_out", "idleness", "forgery", "passwords", "enumeration", "reset", "limit"]


class AuthenticationSection(Section):
    """``forms``: pages with a form that changes something, sent back unchanged to see whether its token is looked at.

    ``attempts``: wrong passwords after which a limit must have been felt. ``idle_limit``: after which a session that
    nobody uses must have ended; the look waits that long, so set it short in the environment that is audited.
    ``questions``: of those left out nothing is said, and no earlier finding is taken for resolved.
    """

    login: LoginSection
    attempts: int = Field(default=20, ge=3, le=100, description="Wrong passwords until a limit must be felt.")
    longest_session_days: float = Field(default=30, gt=0, le=3650, description="Longest life of a session cookie.")
    idle_limit: Duration | None = Field(default=None, description="When an unused session must have ended; waited for.")
    forms: list[Path] = Field(default=[], max_length=10, description="Pages with forms that change something.")
    sign_up: SignUpSection | None = Field(default=None, description="Where accounts are made; leaves one behind.")
    reset: ResetSection | None = Field(default=None, description="Where people ask for a new password; may send mail.")
    questions: list[Question] = Field(default=[], description="What is asked; left empty, everything.")

    @model_validator(mode="after")
    def waits_for_minutes_at_most(self) -> Self:
        if self.idle_limit and self.idle_limit > LONGEST_WAIT:
            raise ValueError("idle_limit is waited for, so it is 30 minutes at most; set it short where audits run")
        return self


@dataclass
class AuthenticationLook:
    """Everything about log-in and session that can be told from outside. ``looked``: rule -> where it was asked."""

    section: AuthenticationSection
    authority: str | None = None
    tool: str = "authentication"
    before: str = ""
    looked: dict[str, set[str]] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    cut_short: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        tried, reset = [], self.section.reset and self._is_asked("reset")
        if self._is_asked("enumeration") or self._is_asked("limit"):
            left = " and leave one account behind" if self.section.sign_up and self._is_asked("passwords") else ""
            tried.append(
                f"Up to {2 * self.section.attempts + 8} wrong passwords are tried on purpose: this may lock the audit's"
                f" account for a while{left}."
            )
        elif self.section.sign_up and self._is_asked("passwords"):
            tried.append("One account is left behind.")
        if reset:
            tried.append(f"It asks for a new password up to {2 * guessing.ROUNDS} times, which may send mail.")
        self.before = " ".join(tried)

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        login = Login.of(context, self.section.login)
        base = context.environment.url
        looks = [look for question, look in self._looks().items() if self._is_asked(question)]
        following = step_by_step(step, context.check, len(looks), "questions")
        for title, each in looks:
            following(title)
            each(context, login, base)
        covered = [
            Covered(Family.AUTHENTICATION, places=frozenset(places), rules=frozenset({name}))
            for name, places in self.looked.items()
        ]
        return Seen(self.found, covered, len(self.looked), "questions", notes=self._notes())

    def _looks(self) -> dict[Question, tuple[str, Callable[[RunContext, Login, str], None]]]:
        return {
            "form": ("the form", self._form), "session": ("the session", self._session),
            "log_out": ("log-out", self._log_out), "idleness": ("idle sessions", self._idleness),
            "forgery": ("forged requests", self._forgery), "passwords": ("password rules", self._passwords),
            "enumeration": ("who has an account", self._enumeration), "reset": ("the reset of passwords", self._reset),
            "limit": ("the limit of wrong passwords", self._limit),
        }  # fmt: skip

    def _is_asked(self, question: Question) -> bool:
        return not self.section.questions or question in self.section.questions

    def _notes(self) -> list[str]:
        """What was not tried: the plan does not name it, or a limit was in the way."""
        if self.section.questions:
            left_out = [title for question, (title, _) in self._looks().items() if not self._is_asked(question)]
            told = [f"The plan leaves out: {', '.join(left_out)}."] if left_out else []
            return [*told, *self.cut_short]
        left = {
            "where one logs out (log_out)": self.section.login.log_out,
            "when an unused session must have ended (idle_limit)": self.section.idle_limit,
            "where accounts are made (sign_up)": self.section.sign_up,
            "where one asks for a new password (reset)": self.section.reset,
        }
        untried = [f"The plan does not say {what}, so that was not tried." for what, named in left.items() if not named]
        return [*untried, *self.cut_short]

    def _visitor(self, base: str) -> Visitor:
        return Visitor(base, authority=self.authority)

    def _asked(
        self, name: str, bad: bool, *, detail: str = "", path: str = "", severity: Severity | None = None
    ) -> None:
        """Note where a question was asked, and what is wrong if something is."""
        place = RoutePlace("POST", path or self.section.login.page)
        self.looked.setdefault(name, set()).add(f"{place.method} {place.route}")
        if bad:
            self.found.append(RULES[name].found(name, place, detail=detail, severity=severity))

    def _form(self, context: RunContext, login: Login, base: str) -> None:
        with self._visitor(base) as visitor:
            login.refuse_open_marker(visitor)
            form = login.form(visitor)
        clear = urlsplit(form.form.action).scheme != "https" and not asking.is_loopback(base)
        self._asked("password-sent-in-clear", clear, detail=f"The form is sent to {form.form.action}.")
        by_get = form.form.method == "GET"
        self._asked("password-in-address", by_get, detail="The form is sent by GET, so the password is in the address.")

    def _session(self, context: RunContext, login: Login, base: str) -> None:
        for name, detail, severity in sessions.look(
            login, base, lambda: self._visitor(base), longest_days=self.section.longest_session_days
        ):
            self._asked(name, bool(detail), detail=detail, severity=severity)

    def _log_out(self, context: RunContext, login: Login, base: str) -> None:
        if login.section.log_out:
            detail = sessions.survives_log_out(login, lambda: self._visitor(base))
            self._asked("session-survives-log-out", bool(detail), detail=detail, path=login.section.log_out)

    def _idleness(self, context: RunContext, login: Login, base: str) -> None:
        limit = self.section.idle_limit
        if limit:
            detail = sessions.survives_idleness(
                login, lambda: self._visitor(base), limit, lambda seconds: _wait(context, seconds)
            )
            self._asked("session-survives-idleness", bool(detail), detail=detail)

    def _forgery(self, context: RunContext, login: Login, base: str) -> None:
        with self._visitor(base) as visitor:
            form = login.form(visitor)
        if form.form.method == "POST":
            data = form.form.without_tokens(form.filled(login.user, login.password))
            with self._visitor(base) as stranger:
                login.send(stranger, form, data, headers=FOREIGN)
                forged = login.is_in(stranger)
            told = "The log-in was accepted from another site, without its token."
            self._asked("log-in-can-be-forged", forged, detail=told)
        for path in self.section.forms:
            context.check()
            with self._visitor(base) as visitor:
                login.log_in(visitor)
                detail, severity = sessions.forge(visitor, path, FOREIGN)
            self._asked("form-can-be-forged", bool(detail), detail=detail, path=path, severity=severity)

    def _passwords(self, context: RunContext, login: Login, base: str) -> None:
        if self.section.sign_up is None:
            return
        page = self.section.sign_up.page
        # Asked first: that a new address is accepted afterwards shows that no limit of sign-ups was in the way.
        known_refused = refuses_known(self.section.sign_up, lambda: self._visitor(base), login.user)
        accepted = try_weak_passwords(context, self.section.sign_up, lambda: self._visitor(base))
        if known_refused is not None:
            told = "A known address is refused, and a new one is accepted." if known_refused else ""
            self._asked("accounts-told-apart-by-sign-up", known_refused, detail=told, path=page)
        detail = f"Accepted: {', '.join(accepted)}." if accepted else ""
        self._asked("weak-passwords-accepted", bool(accepted), detail=detail, path=page)

    def _enumeration(self, context: RunContext, login: Login, base: str) -> None:
        told = guessing.tells_accounts(context, login, lambda: self._visitor(base))
        self._asked("accounts-told-apart", bool(told.by_answer), detail=told.by_answer)
        self._timed("accounts-told-apart-by-time", told, "")

    def _reset(self, context: RunContext, login: Login, base: str) -> None:
        if self.section.reset is None:
            return
        page = self.section.reset.page
        told = guessing.reset_tells_accounts(context, login, self.section.reset, lambda: self._visitor(base))
        self._asked("accounts-told-apart-by-reset", bool(told.by_answer), detail=told.by_answer, path=page)
        self._timed("accounts-told-apart-by-time-of-reset", told, page)

    def _timed(self, name: str, told: guessing.Told, path: str) -> None:
        if told.by_answer:
            return
        if told.by_time is None:
            where = path or self.section.login.page
            self.cut_short.append(
                f"A limit was met at {where} before it was known at which speed names are answered ({name})."
            )
        else:
            self._asked(name, bool(told.by_time), detail=told.by_time, path=path)

    def _limit(self, context: RunContext, login: Login, base: str) -> None:
        detail = limits.without_limit(context, login, lambda: self._visitor(base), self.section.attempts)
        self._asked("no-limit-of-wrong-passwords", bool(detail), detail=detail)


def _wait(context: RunContext, seconds: float) -> None:
    """Wait, and end with the run when it must."""
    context.note(f"Waits for {seconds:.0f} s without using the session.")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        context.check()
        time.sleep(min(1.0, left))
