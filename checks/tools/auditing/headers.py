"""Headers and cookies of the declared pages, scored by MDN Observatory's rules."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Path, Section
from checks.tools.auditing import asking, observatory
from checks.tools.auditing.looking import NotSeen, Rule, Seen, step_by_step
from checks.tools.auditing.observatory import Judged
from checks.tools.auditing.said import Covered, Family, Found, Severity, SystemPlace

_MDN: Final = "https://developer.mozilla.org/en-US/observatory/docs/tests_and_scoring"


class HeadersSection(Section):
    """``least_score``: fewer points say no, whatever the single findings weigh; 0 leaves the judgement to them.

    ``port_80_closed``: why nobody answers plain HTTP; the look makes sure that no connection is taken there.
    """

    pages: list[Path] = Field(default=["/"], min_length=1, max_length=30, description="Pages whose headers are read.")
    least_score: int = Field(default=0, ge=0, le=145, description="The least score of any page (MDN: 0 to 145).")
    port_80_closed: str = Field(
        default="", max_length=500, description="Why nobody answers plain HTTP, where that is so on purpose."
    )


def _rule(title: str, remedy: str, cwe: int, asvs: str) -> Rule:
    return Rule(Family.HEADERS, title, Severity.MEDIUM, remedy, (cwe,), (asvs,), _MDN)


#: For each test: what a bad result means. How grave it is follows from the points it costs.
RULES: Final[dict[str, Rule]] = {
    "content-security-policy": _rule(
        "The content security policy does not stop injected code",
        "Send Content-Security-Policy with sources named one by one, without 'unsafe-inline' for scripts.",
        693, "3.4.3",
    ),
    "cookies": _rule(
        "A cookie is not protected as it should be",
        "Give it Secure, SameSite=Lax or Strict and, where it holds a session, HttpOnly.", 614, "3.3.1",
    ),
    "cross-origin-resource-sharing": _rule(
        "Any site may read answers with the visitor's cookies",
        "Allow named origins only, or leave Access-Control-Allow-Credentials away.", 942, "3.4.2",
    ),
    "redirection": _rule(
        "The site is reached without TLS", "Redirect every address to HTTPS on the same host.", 319, "12.2.1",
    ),
    "referrer-policy": _rule(
        "Addresses of pages reach other sites", "Send Referrer-Policy: strict-origin-when-cross-origin or stricter.",
        200, "3.4.5",
    ),
    "strict-transport-security": _rule(
        "Browsers are not told to insist on TLS", "Send Strict-Transport-Security with max-age=31536000.", 319, "3.4.1",
    ),
    "subresource-integrity": _rule(
        "Scripts of other hosts are loaded unchecked", "Load them by HTTPS with integrity, or from your own host.",
        829, "3.6.1",
    ),
    "x-content-type-options": _rule(
        "Browsers may guess another type of content", "Send X-Content-Type-Options: nosniff.", 693, "3.4.4",
    ),
    "x-frame-options": _rule(
        "Other sites may show these pages in a frame",
        "Send Content-Security-Policy with frame-ancestors 'none' or 'self', or X-Frame-Options: DENY.", 1021, "3.4.6",
    ),
    "cross-origin-resource-policy": _rule(
        "The header that says who may embed answers cannot be read",
        "Send Cross-Origin-Resource-Policy: same-origin or same-site.", 346, "3.5.8",
    ),
}  # fmt: skip
_COOKIE_FLAWS: Final = {
    "without-secure": (614, "3.3.1"),
    "httponly": (1004, "3.3.4"),
    "samesite": (1275, "3.3.2"),
}


@dataclass
class HeadersLook:
    """``scores``: after the look, page -> (score, grade, its judgements); ``elsewhere``: page -> where it leads."""

    section: HeadersSection
    authority: str | None = None
    tool: str = "headers"
    before: str = ""
    scores: dict[str, tuple[int, str, list[Judged]]] = field(default_factory=dict)
    closed: str = ""
    elsewhere: dict[str, str] = field(default_factory=dict)

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        base = context.environment.url
        local = urlsplit(base).scheme == "http" and asking.is_loopback(base)
        following = step_by_step(step, context.check, len(self.section.pages), "pages")
        for path in self.section.pages:
            following(path)
            judged = self._judge(base, path, local)
            if judged is None:
                continue
            points, grade = observatory.score(judged)
            self.scores[path] = (points, grade, judged)
            context.note(f"{path}: {points} points, {grade}")
        led = [f"{path} leads to {other}" for path, other in self.elsewhere.items()]
        if not self.scores:
            raise NotSeen(
                f"Every page that the plan names leads elsewhere: {', '.join(led)}.",
                remedy="Name the pages that answer themselves (headers: pages).",
            )
        notes = []
        if local:
            notes.append(
                "This environment is reached on this machine without TLS, so redirection to HTTPS, HSTS and the flag"
                " Secure of cookies say nothing about production and are left out of the score."
            )
        if self.closed:
            notes.append(f"{self.closed} takes no connection from this worker. {self.section.port_80_closed}")
        notes += [
            f"{each}, so its own headers were not read and it has no score. Name that page instead." for each in led
        ]
        # Every cookie that the pages set was seen: one that is sound by now, or no longer set, is told no more.
        cookies = frozenset(result for result in observatory.MODIFIERS if result.startswith("cookies-"))
        asked = frozenset(self.scores)
        covered = [
            Covered(Family.HEADERS, places=frozenset(RULES), pages=asked),
            Covered(Family.HEADERS, rules=cookies, own=True, pages=asked),
        ]
        return Seen(self._found(), covered, len(self.scores), "pages", version="MDN 2026-11", notes=notes)

    def _judge(self, base: str, path: str, local: bool) -> list[Judged] | None:
        """None where another page answers: it says nothing about this one."""
        with asking.Visitor(base, authority=self.authority) as visitor:
            page = visitor.get(path)
            if page.status >= 400:
                raise NotSeen(
                    f"{path} answers {page.status}, and the headers of an error page say nothing about the site.",
                    remedy="Name pages that answer.",
                    found=self._found(),
                )
            if _page_of(page.url) != _page_of(visitor.address(path)):
                self.elsewhere[path] = urlsplit(page.url).path or "/"
                return None
        with asking.Visitor(base, authority=self.authority, headers={"Origin": observatory.FOREIGN_ORIGIN}) as other:
            shared = other.get(path)
        return observatory.judge(page, shared, self._without_tls(base, path, page), local=local)

    def _without_tls(self, base: str, path: str, page: asking.Page) -> Sequence[str] | None:
        """The addresses to which plain HTTP leads; None only where nobody listens there, so there is no HTTP."""
        if urlsplit(base).scheme == "http":
            return [address for address, _ in page.route]
        plain = plain_address(base)
        if not plain or plain == self.closed:
            return None
        if self.section.port_80_closed:
            self._refuse_connected(plain)
            return None
        try:
            with asking.Visitor(plain, authority=self.authority) as visitor:
                return [address for address, _ in visitor.get(path).route]
        except asking.LeadsElsewhere as elsewhere:
            return elsewhere.route
        except NotSeen as error:
            # A refusal behind a redirect says nothing of plain HTTP itself.
            if isinstance(error, asking.NobodyListens) and urlsplit(error.address).scheme == "http":
                return None
            raise NotSeen(
                f"By plain HTTP: {error.why}",
                remedy="Let it redirect to HTTPS, or refuse the connection where there is no plain HTTP. Where a"
                " firewall drops such connections on purpose, say so in the plan (headers: port_80_closed).",
                found=self._found(),
            ) from error

    def _refuse_connected(self, plain: str) -> None:
        """NotSeen where somebody takes a connection at an address that the plan calls closed."""
        if asking.takes_connection(plain):
            raise NotSeen(
                f"The plan says that port 80 is closed, and {plain} takes a connection.",
                remedy="Close it, or take port_80_closed out of the plan, so that what answers there is looked at.",
                found=self._found(),
            )
        self.closed = plain

    @property
    def worst(self) -> int | None:
        return min((points for points, _, _ in self.scores.values()), default=None)

    def result(self) -> list[dict[str, Any]]:
        """For the page: each page with its score and what each test says."""
        return [
            {
                "path": path,
                "score": points,
                "grade": grade,
                "tests": [
                    {"test": each.test, "result": each.result, "modifier": each.modifier, "why": each.why,
                     "unseen": each.unseen}
                    for each in judged
                ],
            }
            for path, (points, grade, judged) in self.scores.items()
        ]  # fmt: skip

    def _found(self) -> list[Found]:
        where: dict[tuple[str, str], dict[str, Judged]] = defaultdict(dict)
        for path, (_, _, judged) in self.scores.items():
            for each in judged:
                if each.modifier < 0 and (not each.unseen or each.test == "cookies"):
                    where[(each.result, _place(each))][path] = each
        return [_finding(result, place, pages) for (result, place), pages in where.items()]


def _page_of(address: str) -> str:
    """What makes a page another one: by HTTPS, or with a slash at its end, it is the same."""
    return urlsplit(address).path.rstrip("/")


def plain_address(base: str) -> str:
    """Where the site would be without TLS; empty where it has a port of its own, which only one protocol can have."""
    parts = urlsplit(base)
    if parts.port not in (None, 443):
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return parts._replace(scheme="http", netloc=host).geturl()


def has_port_80_beside(url: str) -> bool:
    """Whether plain HTTP is looked at beside this address."""
    return urlsplit(url).scheme == "https" and bool(plain_address(url))


def _place(judged: Judged) -> str:
    """What a header finding is about: the header, or one cookie."""
    return judged.why.removeprefix("The ").removesuffix(".") if judged.test == "cookies" else judged.test


def _finding(result: str, place: str, pages: dict[str, Judged]) -> Found:
    judged = next(iter(pages.values()))
    rule = RULES[judged.test]
    if judged.test == "cookies":
        cwe, asvs = next(value for word, value in _COOKIE_FLAWS.items() if word in result)
        rule = _rule(f"{place.capitalize()}: {_words(result)}", rule.remedy, cwe, asvs)
    listed = ", ".join(list(pages)[:5]) + (f" and {len(pages) - 5} more" if len(pages) > 5 else "")
    seen = "" if judged.test == "cookies" or not judged.why else f"{judged.why} "
    local = " Reached without TLS on this machine; look whether production sets it." if judged.unseen else ""
    severity = Severity.LOW if judged.unseen else severity_of(judged.modifier)
    detail = f"{seen}{result} ({judged.modifier} points) on {listed}.{local}"
    found = rule.found(result, SystemPlace(place), detail=detail, severity=severity)
    return replace(found, pages=tuple(pages))


def _words(result: str) -> str:
    return result.removeprefix("cookies-").replace("-", " ")


def severity_of(modifier: int) -> Severity:
    """How grave a result is, from the points that it costs: 40 and more are high, 20 and more are medium."""
    if modifier <= -40:
        return Severity.HIGH
    return Severity.MEDIUM if modifier <= -20 else Severity.LOW
