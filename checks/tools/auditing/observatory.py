"""Scores one answer by the rules that MDN publishes for its HTTP Observatory.

Source: https://developer.mozilla.org/en-US/observatory/docs/tests_and_scoring (145 points at most, read 2026-11).
Mozilla's own program is written for Node.js and looks only at public hosts, so these rules are written anew; the names
of the results are Mozilla's. Nothing here asks anything: see ``headers``.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

from checks.tools.auditing.asking import Page

SIX_MONTHS_SECONDS: Final = 15_552_000
#: The score from which on bonuses count.
BONUSES_FROM: Final = 90
GRADES: Final = (
    (100, "A+"), (90, "A"), (85, "A-"), (80, "B+"), (70, "B"), (65, "B-"), (60, "C+"), (50, "C"), (45, "C-"),
    (40, "D+"), (30, "D"), (25, "D-"), (0, "F"),
)  # fmt: skip
MODIFIERS: Final[dict[str, int]] = {
    "csp-implemented-with-no-unsafe-default-src-none": 10,
    "csp-implemented-with-no-unsafe": 5,
    "csp-implemented-with-unsafe-inline-in-style-src-only": 0,
    "csp-implemented-with-insecure-scheme-in-passive-content-only": -10,
    "csp-implemented-with-unsafe-eval": -10,
    "csp-implemented-with-unsafe-inline": -20,
    "csp-implemented-with-insecure-scheme": -20,
    "csp-header-invalid": -25,
    "csp-not-implemented": -25,
    "cookies-secure-with-httponly-sessions-and-samesite": 5,
    "cookies-secure-with-httponly-sessions": 0,
    "cookies-not-found": 0,
    "cookies-without-secure-flag-but-protected-by-hsts": -5,
    "cookies-session-without-secure-flag-but-protected-by-hsts": -10,
    "cookies-without-secure-flag": -20,
    "cookies-samesite-flag-invalid": -20,
    "cookies-anticsrf-without-samesite-flag": -20,
    "cookies-session-without-httponly-flag": -30,
    "cookies-session-without-secure-flag": -40,
    "cross-origin-resource-sharing-not-implemented": 0,
    "cross-origin-resource-sharing-implemented-with-public-access": 0,
    "cross-origin-resource-sharing-implemented-with-restricted-access": 0,
    "cross-origin-resource-sharing-implemented-with-universal-access": -50,
    "redirection-to-https": 0,
    "redirection-not-needed-no-http": 0,
    "redirection-off-host-from-http": -5,
    "redirection-not-to-https-on-initial-redirection": -10,
    "redirection-not-to-https": -20,
    "redirection-missing": -20,
    "referrer-policy-private": 5,
    "referrer-policy-not-implemented": 0,
    "referrer-policy-unsafe": -5,
    "referrer-policy-header-invalid": -5,
    "hsts-implemented-max-age-at-least-six-months": 0,
    "hsts-implemented-max-age-less-than-six-months": -10,
    "hsts-not-implemented": -20,
    "hsts-header-invalid": -20,
    "hsts-not-implemented-no-https": -20,
    "sri-implemented-and-all-scripts-loaded-securely": 5,
    "sri-implemented-and-external-scripts-loaded-securely": 5,
    "sri-not-implemented-response-not-html": 0,
    "sri-not-implemented-but-no-scripts-loaded": 0,
    "sri-not-implemented-but-all-scripts-loaded-from-secure-origin": 0,
    "sri-not-implemented-but-external-scripts-loaded-securely": -5,
    "sri-implemented-but-external-scripts-not-loaded-securely": -20,
    "sri-not-implemented-and-external-scripts-not-loaded-securely": -50,
    "x-content-type-options-nosniff": 0,
    "x-content-type-options-not-implemented": -5,
    "x-content-type-options-header-invalid": -5,
    "x-frame-options-implemented-via-csp": 5,
    "x-frame-options-sameorigin-or-deny": 0,
    "x-frame-options-not-implemented": -20,
    "x-frame-options-header-invalid": -20,
    "cross-origin-resource-policy-implemented-with-same-origin": 10,
    "cross-origin-resource-policy-implemented-with-same-site": 10,
    "cross-origin-resource-policy-implemented-with-cross-origin": 0,
    "cross-origin-resource-policy-not-implemented": 0,
    "cross-origin-resource-policy-header-invalid": -5,
}

_BROAD: Final = frozenset(
    {"ftp:", "http:", "https:", "*", "http://*", "http://*.*", "https://*", "https://*.*"}
)  # fmt: skip
_INLINE: Final = frozenset({"'unsafe-inline'", "data:"})
_NONCE_OR_HASH: Final = ("'sha256-", "'sha384-", "'sha512-", "'nonce-")
_DIRECTIVE: Final = re.compile(r"[a-z][a-z0-9-]*")
_PASSIVE: Final = ("img-src", "media-src")
_NO_SOURCES: Final = frozenset({"report-uri", "report-to", "sandbox", "upgrade-insecure-requests"})
_GOOD_REFERRERS: Final = frozenset({"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"})
_BAD_REFERRERS: Final = frozenset({"origin", "origin-when-cross-origin", "unsafe-url", "no-referrer-when-downgrade"})
#: Set by a platform rather than by the site, and nothing that a site could change.
_FOREIGN_COOKIES: Final = frozenset({"heroku-session-affinity"})

Policy = dict[str, frozenset[str]]


@dataclass(frozen=True)
class Judged:
    """One test: its name, Mozilla's name of the result, and why; ``unseen``: cannot be told in this environment."""

    test: str
    result: str
    why: str = ""
    unseen: bool = False

    @property
    def modifier(self) -> int:
        return MODIFIERS[self.result]


@dataclass(frozen=True)
class Cookie:
    name: str
    secure: bool
    http_only: bool
    same_site: str | None

    @property
    def is_session(self) -> bool:
        name = self.name.lower()
        return "sess" in name or "login" in name

    @property
    def is_against_forgery(self) -> bool:
        return "csrf" in self.name.lower()


def score(judged: Iterable[Judged]) -> tuple[int, str]:
    """Points and grade. What this environment cannot show is left out."""
    modifiers = [each.modifier for each in judged if not each.unseen]
    points = 100 + sum(modifier for modifier in modifiers if modifier < 0)
    if points >= BONUSES_FROM:
        points += sum(modifier for modifier in modifiers if modifier > 0)
    points = max(0, points)
    return points, next(grade for least, grade in GRADES if points >= least)


def judge(page: Page, shared: Page, http: Sequence[str] | None, *, local: bool) -> list[Judged]:
    """Every test of one page. ``shared``: the same page asked from another origin; ``http``: the addresses to which it
    leads without TLS, None where nobody listens there.

    ``local``: without TLS on this very machine, so that nothing about transport can be told.
    """
    csp = policies_of(page)
    hsts = _hsts(page)
    return [
        _csp(page, csp),
        *_cookies(page, protected=hsts.modifier == 0, local=local),
        _sharing(page, shared),
        _unseen(_redirection(http), local),
        _referrer(page),
        _unseen(hsts, local),
        _scripts(page),
        _sniffing(page),
        _framing(page, csp),
        _embedding(page),
    ]


def _unseen(judged: Judged, local: bool) -> Judged:
    return Judged(judged.test, judged.result, judged.why, unseen=local)


# --- content security policy -----------------------------------------------------------------------------------------


def policies_of(page: Page) -> list[Policy]:
    """Policies of the headers; each of several holds by itself. An empty one is a header that nobody can read."""
    texts = [part for value in page.headers.get_list("content-security-policy") for part in value.split(",")]
    return [parse_policy(text) for text in texts]


def parse_policy(text: str) -> Policy:
    policy: Policy = {}
    for part in text.split(";"):
        words = part.lower().split()
        if words and _DIRECTIVE.fullmatch(words[0]):
            # Of a directive that stands twice the first counts.
            policy.setdefault(words[0], frozenset(words[1:]))
    return policy


def _csp(page: Page, policies: Sequence[Policy]) -> Judged:
    test = "content-security-policy"
    if not policies:
        reported = "content-security-policy-report-only" in page.headers
        why = "There is only a policy that reports and forbids nothing." if reported else "There is no such header."
        return Judged(test, "csp-not-implemented", why)
    secure = urlsplit(page.url).scheme == "https"
    results = [_of_policy(policy, secure) for policy in policies]
    return max((Judged(test, name, why) for name, why in results), key=lambda judged: judged.modifier)


def _of_policy(policy: Policy, secure: bool) -> tuple[str, str]:
    if not any(name.endswith("-src") or name in {"form-action", "base-uri", "frame-ancestors"} for name in policy):
        return "csp-header-invalid", "No directive of the header is known."
    scripts, strict_without = _scripts_of(policy)
    styles = _without_ignored(_sources(policy, "style-src"))
    objects = _sources(policy, "object-src")
    if strict_without:
        return "csp-header-invalid", "'strict-dynamic' needs a nonce or a hash."
    if broad := sorted(scripts & (_BROAD | _INLINE)):
        return "csp-implemented-with-unsafe-inline", f"script-src allows {' '.join(broad)}."
    if broad := sorted(objects & _BROAD):
        return "csp-implemented-with-unsafe-inline", f"object-src allows {' '.join(broad)}."
    others = [each for name, value in policy.items() if name not in {*_PASSIVE, "script-src"} | _NO_SOURCES
              for each in value]  # fmt: skip
    if secure and any(source.startswith(("http:", "ftp:")) for source in [*others, *scripts]):
        return "csp-implemented-with-insecure-scheme", "It allows sources without TLS."
    if "'unsafe-eval'" in scripts | styles:
        return "csp-implemented-with-unsafe-eval", "It allows 'unsafe-eval'."
    passive = [source for name in _PASSIVE for source in policy.get(name, policy.get("default-src", frozenset()))]
    if secure and any(source.startswith(("http:", "ftp:")) for source in passive):
        return "csp-implemented-with-insecure-scheme-in-passive-content-only", "Images or media may come without TLS."
    if broad := sorted(styles & (_BROAD | _INLINE)):
        return "csp-implemented-with-unsafe-inline-in-style-src-only", f"style-src allows {' '.join(broad)}."
    if policy.get("default-src") == frozenset({"'none'"}) and not policy.get("form-action", _BROAD) & _BROAD:
        return "csp-implemented-with-no-unsafe-default-src-none", ""
    return "csp-implemented-with-no-unsafe", ""


def _sources(policy: Policy, name: str) -> frozenset[str]:
    return policy.get(name, policy.get("default-src", frozenset({"*"})))


def _without_ignored(sources: frozenset[str]) -> frozenset[str]:
    """Browsers ignore 'unsafe-inline' beside a nonce or a hash."""
    return sources - {"'unsafe-inline'"} if _has_nonce(sources) else sources


def _has_nonce(sources: Iterable[str]) -> bool:
    return any(source.startswith(_NONCE_OR_HASH) for source in sources)


def _scripts_of(policy: Policy) -> tuple[frozenset[str], bool]:
    """Sources of scripts that count, and whether 'strict-dynamic' stands there with nothing that it could trust."""
    scripts = _without_ignored(_sources(policy, "script-src"))
    if "'strict-dynamic'" not in scripts:
        return scripts, False
    if not _has_nonce(scripts):
        return scripts, True
    ignored = {each for each in scripts if each.startswith(("http:", "https:", "ftp:", "*"))} | {"'self'"}
    return scripts - ignored, False


# --- cookies ---------------------------------------------------------------------------------------------------------


def parse_cookie(text: str) -> Cookie:
    """A Set-Cookie header -> what it says of the cookie, its value left out."""
    first, *rest = text.split(";")
    facts = {key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in rest)}
    return Cookie(first.partition("=")[0].strip(), "secure" in facts, "httponly" in facts, facts.get("samesite"))


def _cookies(page: Page, *, protected: bool, local: bool) -> list[Judged]:
    """One judgement for each cookie that is not as it should be, or one for all that are."""
    cookies = [each for each in map(parse_cookie, page.set_cookies) if each.name not in _FOREIGN_COOKIES]
    if not cookies:
        return [Judged("cookies", "cookies-not-found")]
    bad: dict[tuple[str, str], Judged] = {}
    for cookie in cookies:
        for result in _of_cookie(cookie, protected):
            unseen = local and "without-secure" in result
            bad[(cookie.name, result)] = Judged("cookies", result, f"The cookie {cookie.name}.", unseen=unseen)
    if bad:
        return list(bad.values())
    everywhere = all(cookie.same_site for cookie in cookies)
    return [Judged("cookies", "cookies-secure-with-httponly-sessions" + ("-and-samesite" if everywhere else ""))]


def _of_cookie(cookie: Cookie, protected: bool) -> list[str]:
    found = []
    if not cookie.secure:
        kind = "cookies-session-without-secure-flag" if cookie.is_session else "cookies-without-secure-flag"
        found.append(kind + ("-but-protected-by-hsts" if protected else ""))
    if cookie.same_site is not None:
        known = cookie.same_site.lower() in {"lax", "strict", "none"}
        if not known or (cookie.same_site.lower() == "none" and not cookie.secure):
            found.append("cookies-samesite-flag-invalid")
    if cookie.is_against_forgery and not cookie.same_site:
        found.append("cookies-anticsrf-without-samesite-flag")
    if cookie.is_session and not cookie.http_only:
        found.append("cookies-session-without-httponly-flag")
    return found


# --- everything else -------------------------------------------------------------------------------------------------


def _sharing(page: Page, shared: Page) -> Judged:
    name, test = "cross-origin-resource-sharing-", "cross-origin-resource-sharing"
    allowed = shared.headers.get("access-control-allow-origin", "").strip()
    if not allowed:
        return Judged(test, name + "not-implemented")
    credentials = shared.headers.get("access-control-allow-credentials", "").strip().lower() == "true"
    if allowed == "*":
        return Judged(test, name + "implemented-with-public-access")
    if credentials and allowed.lower() in {FOREIGN_ORIGIN, "null"}:
        why = "The site allows any origin that asks to read its answers with the visitor's cookies."
        return Judged(test, name + "implemented-with-universal-access", why)
    return Judged(test, name + "implemented-with-restricted-access")


#: From where the page is asked once more, to see whether the site reflects whoever asks. Nobody can own this name.
FOREIGN_ORIGIN: Final = "https://gonogo-audit.invalid"


def _redirection(http: Sequence[str] | None) -> Judged:
    test = "redirection"
    if http is None:
        return Judged(test, "redirection-not-needed-no-http")
    places = [urlsplit(url) for url in http]
    if len(places) == 1:
        return Judged(test, "redirection-missing", "The site answers without TLS.")
    if places[-1].scheme != "https":
        return Judged(test, "redirection-not-to-https", "It redirects, but not to HTTPS.")
    if places[1].scheme == "http":
        return Judged(test, "redirection-not-to-https-on-initial-redirection")
    if places[0].hostname != places[1].hostname:
        return Judged(test, "redirection-off-host-from-http")
    return Judged(test, "redirection-to-https")


def _referrer(page: Page) -> Judged:
    test = "referrer-policy"
    values = [part.strip().lower() for part in page.headers.get("referrer-policy", "").split(",") if part.strip()]
    known = [value for value in values if value in _GOOD_REFERRERS | _BAD_REFERRERS]
    if not values:
        return Judged(test, "referrer-policy-not-implemented")
    if not known:
        return Judged(test, "referrer-policy-header-invalid", f"Nobody knows {values[0][:60]!r}.")
    # Of several the last one that a browser knows counts.
    good = known[-1] in _GOOD_REFERRERS
    return Judged(test, "referrer-policy-private" if good else "referrer-policy-unsafe", f"It is {known[-1]}.")


def _hsts(page: Page) -> Judged:
    test = "strict-transport-security"
    if urlsplit(page.url).scheme != "https":
        return Judged(test, "hsts-not-implemented-no-https", "The site is not reached by HTTPS.")
    values = page.headers.get_list("strict-transport-security")
    if not values:
        return Judged(test, "hsts-not-implemented", "There is no such header.")
    seconds = re.search(r"(?:^|;)\s*max-age\s*=\s*\"?(\d{1,12})\"?\s*(?:;|$)", values[0].lower())
    if seconds is None or len(values) > 1 or "," in values[0]:
        return Judged(test, "hsts-header-invalid", "The header stands twice, or has no max-age.")
    if int(seconds[1]) < SIX_MONTHS_SECONDS:
        return Judged(test, "hsts-implemented-max-age-less-than-six-months", f"max-age is {seconds[1]} seconds.")
    return Judged(test, "hsts-implemented-max-age-at-least-six-months")


class _ScriptFinder(HTMLParser):
    """Every <script>: its address, None for one inside the page, and whether it has an integrity."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[str | None, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            facts = dict(attrs)
            self.scripts.append((facts.get("src"), bool(facts.get("integrity"))))


def _scripts(page: Page) -> Judged:
    name, test = "sri-", "subresource-integrity"
    if not page.is_html:
        return Judged(test, name + "not-implemented-response-not-html")
    finder = _ScriptFinder()
    finder.feed(page.text)
    if not finder.scripts:
        return Judged(test, name + "not-implemented-but-no-scripts-loaded")
    own = urlsplit(page.url)
    worst: list[Judged] = []
    foreign = kept = False
    for address, integrity in finder.scripts:
        if not address:
            continue
        place = urlsplit(address)
        if not place.netloc or place.hostname == own.hostname:
            kept = kept or (integrity and own.scheme == "https")
            continue
        foreign = True
        if result := _of_foreign_script(place.scheme == "https", integrity):
            worst.append(Judged(test, name + result, f"{address[:200]}"))
    if worst:
        return min(worst, key=lambda judged: judged.modifier)
    if foreign:
        return Judged(test, name + "implemented-and-external-scripts-loaded-securely")
    if kept:
        return Judged(test, name + "implemented-and-all-scripts-loaded-securely")
    return Judged(test, name + "not-implemented-but-all-scripts-loaded-from-secure-origin")


def _of_foreign_script(secure: bool, integrity: bool) -> str:
    if secure:
        return "" if integrity else "not-implemented-but-external-scripts-loaded-securely"
    if integrity:
        return "implemented-but-external-scripts-not-loaded-securely"
    return "not-implemented-and-external-scripts-not-loaded-securely"


def _sniffing(page: Page) -> Judged:
    name = "x-content-type-options"
    value = page.headers.get(name, "").strip().lower()
    if not value:
        return Judged(name, f"{name}-not-implemented", "There is no such header.")
    return Judged(name, f"{name}-nosniff" if value == "nosniff" else f"{name}-header-invalid", f"It is {value[:60]}.")


def _framing(page: Page, policies: Sequence[Policy]) -> Judged:
    name = "x-frame-options"
    if any("frame-ancestors" in policy and not policy["frame-ancestors"] & _BROAD for policy in policies):
        return Judged(name, f"{name}-implemented-via-csp")
    value = page.headers.get(name, "").strip().lower()
    if not value:
        return Judged(name, f"{name}-not-implemented", "Neither this header nor frame-ancestors of a policy is there.")
    good = value in {"deny", "sameorigin"}
    return Judged(name, f"{name}-sameorigin-or-deny" if good else f"{name}-header-invalid", f"It is {value[:60]}.")


def _embedding(page: Page) -> Judged:
    name = "cross-origin-resource-policy"
    value = page.headers.get(name, "").strip().lower()
    if not value:
        return Judged(name, f"{name}-not-implemented")
    known = value in {"same-origin", "same-site", "cross-origin"}
    return Judged(
        name, f"{name}-implemented-with-{value}" if known else f"{name}-header-invalid", f"It is {value[:60]}."
    )
