"""Log-in and sessions of the running application, tried with the account that the plan names for audits.

This is an active look: it fails to log in on purpose, may lock accounts for a while, and may leave an account behind.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Path, Section
from checks.tools.auditing import asking, guessing, sessions
from checks.tools.auditing.asking import Visitor
from checks.tools.auditing.auth_rules import RULES
from checks.tools.auditing.login import Login, LoginSection
from checks.tools.auditing.looking import Seen, step_by_step
from checks.tools.auditing.said import Covered, Family, Found, RoutePlace, Severity
from checks.tools.auditing.signing_up import SignUpSection, try_weak_passwords

FOREIGN: Final = {"Origin": "https://gonogo-audit.invalid", "Sec-Fetch-Site": "cross-site", "Referer": ""}


class AuthenticationSection(Section):
    """``forms``: pages with a form that changes something, sent back unchanged to see whether its token is looked at.

    ``attempts``: wrong passwords after which a limit must have been felt.
    """

    login: LoginSection
    attempts: int = Field(default=20, ge=3, le=100, description="Wrong passwords until a limit must be felt.")
    longest_session_days: float = Field(default=30, gt=0, le=3650, description="Longest life of a session cookie.")
    forms: list[Path] = Field(default=[], max_length=10, description="Pages with forms that change something.")
    sign_up: SignUpSection | None = Field(default=None, description="Where accounts are made; leaves one behind.")


@dataclass
class AuthenticationLook:
    """Everything about log-in and session that can be told from outside."""

    section: AuthenticationSection
    authority: str | None = None
    tool: str = "authentication"
    before: str = ""
    looked: list[str] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        left = " and leave one account behind" if self.section.sign_up else ""
        self.before = (
            f"Up to {2 * self.section.attempts + 8} wrong passwords are tried on purpose: this may lock the audit's"
            f" account for a while{left}."
        )

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        login = Login.of(context, self.section.login)
        base = context.environment.url
        looks = [
            ("the form", self._form), ("the session", self._session), ("log-out", self._log_out),
            ("forged requests", self._forgery), ("password rules", self._passwords),
            ("who has an account", self._enumeration), ("the limit of wrong passwords", self._limit),
        ]  # fmt: skip
        following = step_by_step(step, context.check, len(looks), "questions")
        for title, each in looks:
            following(title)
            each(context, login, base)
        covered = [Covered(Family.AUTHENTICATION, rules=frozenset(self.looked))]
        notes = (
            [] if self.section.login.log_out else ["The plan does not say where one logs out, so that was not tried."]
        )
        return Seen(self.found, covered, len(self.looked), "questions", notes=notes)

    def _visitor(self, base: str) -> Visitor:
        return Visitor(base, authority=self.authority)

    def _asked(
        self, name: str, bad: bool, *, detail: str = "", path: str = "", severity: Severity | None = None
    ) -> None:
        """Note that a question was asked, and what is wrong if something is."""
        if name not in self.looked:
            self.looked.append(name)
        if bad:
            place = RoutePlace("POST", path or self.section.login.page)
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
        accepted = try_weak_passwords(context, self.section.sign_up, lambda: self._visitor(base))
        detail = f"Accepted: {', '.join(accepted)}." if accepted else ""
        self._asked("weak-passwords-accepted", bool(accepted), detail=detail, path=self.section.sign_up.page)

    def _enumeration(self, context: RunContext, login: Login, base: str) -> None:
        told = guessing.tells_accounts(context, login, lambda: self._visitor(base))
        self._asked("accounts-told-apart", bool(told.by_answer), detail=told.by_answer)
        if not told.by_answer:
            self._asked("accounts-told-apart-by-time", bool(told.by_time), detail=told.by_time)

    def _limit(self, context: RunContext, login: Login, base: str) -> None:
        detail = guessing.without_limit(context, login, lambda: self._visitor(base), self.section.attempts)
        self._asked("no-limit-of-wrong-passwords", bool(detail), detail=detail)
