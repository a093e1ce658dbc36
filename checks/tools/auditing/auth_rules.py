"""The rules that ``authentication`` looks for. ASVS: version 5.0; OWASP: Top 10 of 2025; severities follow CVSS 3.1."""

from typing import Final

from checks.tools.auditing.looking import Rule
from checks.tools.auditing.said import Family, Severity

#: Where OWASP's lists do not name the weakness: it is one of the log-in.
_FAILURES: Final = "A07"


def _rule(title: str, severity: Severity, remedy: str, cwe: int, asvs: str) -> Rule:
    return Rule(Family.AUTHENTICATION, title, severity, remedy, (cwe,), (asvs,), owasp=_FAILURES)


RULES: Final[dict[str, Rule]] = {
    "password-sent-in-clear": _rule(
        "Passwords travel without TLS", Severity.HIGH, "Serve the log-in by HTTPS only.", 319, "12.2.1",
    ),
    "password-in-address": _rule(
        "Passwords stand in addresses, histories and logs", Severity.HIGH, "Send the form by POST.", 598, "14.2.1",
    ),
    "session-fixation": _rule(
        "A session from before the log-in is kept", Severity.HIGH,
        "Make a new session identifier at each log-in.", 384, "7.2.4",
    ),
    "session-cookie-without-secure": _rule(
        "The session cookie travels without TLS as well", Severity.HIGH, "Give it the flag Secure.", 614, "3.3.1",
    ),
    "session-cookie-without-httponly": _rule(
        "Scripts can read the session cookie", Severity.MEDIUM, "Give it the flag HttpOnly.", 1004, "3.3.4",
    ),
    "session-cookie-without-samesite": _rule(
        "Other sites can make requests with the session", Severity.MEDIUM, "Give the cookie SameSite=Lax or Strict.",
        1275, "3.3.2",
    ),
    "session-lives-too-long": _rule(
        "Sessions live too long", Severity.MEDIUM, "End them sooner, by time and when nobody uses them.", 613, "7.3.2",
    ),
    "session-survives-idleness": _rule(
        "A session that nobody uses goes on", Severity.MEDIUM, "End sessions on the server after a while without use.",
        613, "7.3.1",
    ),
    "session-identifier-too-short": _rule(
        "The session identifier can be guessed", Severity.HIGH, "Use 128 random bits or more.", 331, "7.2.3",
    ),
    "session-survives-log-out": _rule(
        "A session goes on after the log-out", Severity.HIGH, "End the session on the server when somebody logs out.",
        613, "7.4.1",
    ),
    "log-in-can-be-forged": _rule(
        "Another site can log a visitor in", Severity.MEDIUM, "Check a token or the origin of the log-in form.", 352,
        "3.5.1",
    ),
    "form-can-be-forged": _rule(
        "Another site can send this form in a visitor's name", Severity.HIGH,
        "Check a token or the origin of the form.", 352, "3.5.1",
    ),
    "weak-passwords-accepted": _rule(
        "Weak passwords are accepted", Severity.MEDIUM,
        "Ask for at least 8 characters, and refuse common passwords and the account's own name.", 521, "6.2.4",
    ),
    "accounts-told-apart": _rule(
        "The log-in tells whether somebody has an account", Severity.MEDIUM,
        "Answer an unknown name and a wrong password alike.", 204, "6.3.8",
    ),
    "accounts-told-apart-by-time": _rule(
        "The time of the answer tells whether somebody has an account", Severity.LOW,
        "Hash a password for unknown names as well.", 208, "6.3.8",
    ),
    "accounts-told-apart-by-reset": _rule(
        "The reset of passwords tells whether somebody has an account", Severity.MEDIUM,
        "Answer a known and an unknown name alike, and tell the rest by mail.", 204, "6.3.8",
    ),
    "accounts-told-apart-by-time-of-reset": _rule(
        "The time of the answer to a reset tells whether somebody has an account", Severity.LOW,
        "Send the mail after the answer, by a worker.", 208, "6.3.8",
    ),
    "accounts-told-apart-by-sign-up": _rule(
        "The sign-up tells whether somebody has an account", Severity.LOW,
        "Answer a known and an unknown address alike, and tell the rest by mail.", 204, "6.3.8",
    ),
    "no-limit-of-wrong-passwords": _rule(
        "Passwords can be guessed without limit", Severity.MEDIUM,
        "Slow down, refuse or ask more after several wrong passwords for an account.", 307, "6.3.1",
    ),
}  # fmt: skip
