"""Whether weak passwords are accepted where accounts are made."""

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import Field

from checks.kinds.base import RunContext
from checks.plan import Path, Section
from checks.tools.auditing.asking import Page, Visitor
from checks.tools.auditing.login import forms_of
from checks.tools.auditing.looking import NotSeen
from checks.tools.page_forms import Form

#: Of those that ASVS 6.2.1 and 6.2.4 want refused: too short, among the commonest, and only digits.
WEAK: Final = ("abc123", "password", "1234567890", "qwertyuiop")


class SignUpSection(Section):
    """The sign-up form. ``fields``: what is typed besides passwords; ``{random}`` stands for letters of nobody."""

    page: Path
    fields: dict[str, str] = Field(max_length=30, description="Field -> text; {random} is new each time.")
    password_fields: list[str] = Field(default=[], max_length=3, description="Left empty, all of type password.")
    weak: list[str] = Field(default=list(WEAK), min_length=1, max_length=20, description="Passwords to be refused.")


def try_weak_passwords(context: RunContext, section: SignUpSection, visitor: Callable[[], Visitor]) -> list[str]:
    """The weak passwords that the site accepted. NotSeen when even a strong one was refused: then nothing is known.

    The strong one comes last and leaves an account behind, as does each weak one that is accepted.
    """
    accepted = []
    for weak in section.weak:
        context.check()
        if _is_accepted(section, visitor, weak):
            accepted.append(weak)
    if not accepted and not _is_accepted(section, visitor, _strong()):
        raise NotSeen(
            f"{section.page} refused a strong password as well, so its refusals of weak ones prove nothing.",
            remedy="Give every field of the form a text in the plan (sign_up.fields).",
        )
    return accepted


def refuses_known(section: SignUpSection, visitor: Callable[[], Visitor], user: str) -> bool | None:
    """Whether a sign-up with the address of an account is refused, with a strong password; no account is made.

    None where nobody knows: the field for the address is the one whose text has an @ and is new each time.
    """
    named = [name for name, text in section.fields.items() if "@" in text and "{random}" in text]
    if len(named) != 1 or "@" not in user:
        return None
    return not _is_accepted(section, visitor, _strong(), {named[0]: user})


def _strong() -> str:
    return f"Strong-{secrets.token_urlsafe(12)}-9"


def _is_accepted(
    section: SignUpSection, visitor: Callable[[], Visitor], password: str, instead: Mapping[str, str] | None = None
) -> bool:
    """``instead``: what is typed into a field instead of the plan's text."""
    random = secrets.token_hex(4)
    with visitor() as guest:
        page = guest.get(section.page)
        form = _form(page, section)
        names = section.password_fields or form.password_fields
        typed = {name: text.replace("{random}", random) for name, text in section.fields.items()} | dict(instead or {})
        answer = guest.post(form.action, {**form.values, **typed, **dict.fromkeys(names, password)})
    if answer.status >= 500 or answer.status in {403, 404, 405, 429}:
        raise NotSeen(f"{section.page} answers {answer.status} to a new account.", remedy="See its own log.")
    # A refused form is shown again, with its fields for passwords.
    return answer.status < 400 and not any(set(names) <= set(each.types) for each in forms_of(answer))


def _form(page: Page, section: SignUpSection) -> Form:
    for form in forms_of(page):
        if form.password_fields and set(section.fields) <= set(form.types):
            return form
    missing = ", ".join(section.fields)
    raise NotSeen(f"{section.page} shows no form with a password and {missing}.", remedy="Correct sign_up in the plan.")
