"""The log-in that a plan describes: finding its form, logging in, and telling whether somebody is logged in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol
from urllib.parse import urlencode

from pydantic import Field

from checks.kinds.base import RunContext
from checks.plan import Key, Path, Section
from checks.tools.auditing.asking import Page, Visitor
from checks.tools.auditing.looking import NotSeen
from checks.tools.page_forms import Form, forms_in

_TYPED: Final = frozenset({"text", "email", "tel", ""})


class Refused(NotSeen):
    """The site answered, and showed no log-in or let nobody in. ``page``: what it answered."""

    def __init__(self, page: Page, why: str, *, remedy: str) -> None:
        self.page = page
        super().__init__(why, remedy=remedy)


class LoginSection(Section):
    """How to log in, with an account made for audits. ``user`` and ``password`` name secrets of the application.

    ``marker`` is a page that shows ``marker_text`` to that account and to nobody else.
    """

    page: Path = Field(description="The page with the log-in form.")
    user: Key = Field(description="The secret that holds the account's name, as it is typed into the form.")
    password: Key = Field(description="The secret that holds its password.")
    user_field: str = Field(default="", max_length=100, description="Left empty, the text field before the password.")
    password_field: str = Field(default="", max_length=100, description="Left empty, the form's only password field.")
    marker: Path = Field(description="A page that only somebody who is logged in sees.")
    marker_text: str = Field(min_length=2, max_length=300, description="What stands there, and nowhere else.")
    log_out: str = Field(default="", max_length=1000, pattern=r"^(/.*)?$", description="Where one logs out.")
    log_out_method: Literal["POST", "GET"] = "POST"


def forms_of(page: Page) -> list[Form]:
    """Every form of a page, its action made a whole address."""
    return forms_in(page.text, page.url)


@dataclass
class LoginForm:
    """The log-in form as one visitor got it."""

    form: Form
    user_field: str
    password_field: str

    def filled(self, user: str, password: str) -> dict[str, str]:
        return {**self.form.values, self.user_field: user, self.password_field: password}


@dataclass(frozen=True)
class Login:
    """A log-in of the plan, its secrets resolved."""

    section: LoginSection
    user: str
    password: str

    @classmethod
    def of(cls, context: RunContext, section: LoginSection) -> "Login":
        return cls(section, context.secret(section.user), context.secret(section.password))

    def form(self, visitor: Visitor) -> LoginForm:
        """Open the log-in page and find its form. Refused when there is none; NotSeen when the site is broken."""
        page = visitor.get(self.section.page)
        refuse_broken(page, self.section.page)
        if page.status >= 400:
            told = f"The log-in page {self.section.page} answers {page.status}."
            raise Refused(page, told, remedy="Correct the plan.")
        return self.form_in(page)

    def form_in(self, page: Page) -> LoginForm:
        wanted = self.section
        for form in forms_of(page):
            password = wanted.password_field or (form.password_fields[0] if len(form.password_fields) == 1 else "")
            if not password or password not in form.types:
                continue
            user = wanted.user_field or _before(form, password)
            if user in form.types:
                return LoginForm(form, user, password)
        raise Refused(
            page,
            f"{wanted.page} shows no form with a user and one password.",
            remedy="Name its fields in the plan (user_field, password_field).",
        )

    def try_in(self, visitor: Visitor, user: str, password: str) -> Page:
        """Fill in the form afresh and send it as it wants to be sent; what comes back, redirects followed."""
        form = self.form(visitor)
        return self.send(visitor, form, form.filled(user, password))

    def send(
        self, visitor: Visitor, form: LoginForm, data: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Page:
        if form.form.method == "GET":
            return visitor.get(f"{form.form.action.split('?')[0]}?{urlencode(dict(data))}", headers=headers)
        return visitor.post(form.form.action, data, headers=headers)

    def log_in(self, visitor: Visitor) -> Page:
        """Log the plan's account in. Refused when it is not let in, with what the site answered."""
        answer = self.try_in(visitor, self.user, self.password)
        if not self.is_in(visitor):
            refuse_broken(answer, self.section.page)
            raise Refused(
                answer,
                f"The plan's account was not let in: {self.section.page} answered {answer.status}, and"
                f" {self.section.marker} does not show {self.section.marker_text!r} afterwards.",
                remedy="Look whether the account is there, its password has expired, or it is locked after an earlier"
                " audit; then correct the secrets.",
            )
        return answer

    def is_in(self, visitor: Visitor) -> bool:
        """Whether the marker is shown. NotSeen when the site is broken there: that says nothing of a log-in."""
        page = visitor.get(self.section.marker)
        refuse_broken(page, self.section.marker)
        return page.status < 400 and self.section.marker_text in page.text

    def refuse_open_marker(self, visitor: Visitor) -> None:
        """NotSeen when the marker also stands before strangers: then it marks nothing."""
        if self.is_in(visitor):
            raise NotSeen(
                f"{self.section.marker} shows {self.section.marker_text!r} to somebody who is not logged in as well.",
                remedy="Name a text that only the audit's account sees.",
            )


class _Answered(Protocol):
    @property
    def status(self) -> int: ...


def refuse_broken(page: _Answered, path: str) -> None:
    """NotSeen when a site answers that it is broken or overloaded."""
    if page.status >= 500:
        raise NotSeen(
            f"{path} answers {page.status}, which says nothing of the log-in.",
            remedy="See the application's own log. Where this is how it limits requests, let it answer 429.",
        )


def _before(form: Form, password: str) -> str:
    """The last field to type into before the password."""
    names = list(form.types)
    return next((each for each in reversed(names[: names.index(password)]) if form.types[each] in _TYPED), "")
