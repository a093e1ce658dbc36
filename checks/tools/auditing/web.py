"""The running application scanned by wapiti, which sends attacks to every page and form that it finds.

This is an active look: it sends every form again and again and leaves behind what that makes.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path as File
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Duration, Path, Section
from checks.tools import toolbox
from checks.tools.auditing import web_report
from checks.tools.auditing.asking import Visitor
from checks.tools.auditing.login import Login, LoginSection
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.running import read_json
from checks.tools.auditing.said import Covered, Family, Found, RoutePlace

#: Modules that need no other host. ssrf, xxe, log4shell and the like call back to a host outside, so they are not here.
Module = Literal[
    "backup", "crlf", "csrf", "exec", "file", "htaccess", "ldap", "methods", "permanentxss", "redirect", "sql",
    "timesql", "upload", "xss",
]  # fmt: skip
#: What payloads name instead of wapiti's own host outside; nothing listens there.
NOWHERE: Final = "http://127.0.0.1:9/"
_SPARE_SECONDS: Final = 60
_LONG_ENOUGH_TO_HIDE: Final = 6


class WebSection(Section):
    """``login``: left away, only what strangers see is scanned. ``start``: pages to which no link leads.

    ``depth``: a form with a fresh token is a new form each time, and is followed and attacked as often as this.

    ``exclude``: pages that are neither opened nor attacked; the pages of the log-in and the log-out never are.
    """

    login: LoginSection | None = None
    modules: list[Module] = Field(
        default=["csrf", "crlf", "exec", "file", "permanentxss", "redirect", "sql", "xss"], min_length=1
    )
    start: list[Path] = Field(default=[], max_length=50, description="Pages to begin with, beside the first.")
    exclude: list[Path] = Field(default=[], max_length=50, description="Pages to leave alone; * stands for anything.")
    least_pages: int = Field(default=5, ge=1, le=10_000, description="Pages and forms that must have been found.")
    depth: int = Field(default=6, ge=1, le=40, description="Links and forms in a row that are followed.")
    crawl_time: Duration = Field(default=timedelta(minutes=5), description="How long pages are looked for.")
    attack_time: Duration = Field(default=timedelta(minutes=5), description="How long each module may take.")

    @model_validator(mode="after")
    def modules_go_together(self) -> Self:
        if "permanentxss" in self.modules and "xss" not in self.modules:
            raise ValueError("permanentxss needs xss beside it, which stores what it looks for")
        return self


@dataclass
class WebLook:
    section: WebSection
    authority: str | None = None
    tool: str = "wapiti"
    before: str = (
        "Every form and address that is found is sent many times with made-up values: this leaves test data behind,"
        " may send mail, and fills logs with errors."
    )

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        base = context.environment.url
        login = Login.of(context, self.section.login) if self.section.login else None
        with Visitor(base, authority=self.authority) as visitor:
            step.doing("log-in" if login else "the first page")
            self._before(visitor, login)
            for value in visitor.cookies().values():
                if len(value) >= _LONG_ENOUGH_TO_HIDE:
                    context.mask(value, "a cookie of the scan")
            step.doing(f"crawling, then {len(self.section.modules)} modules")
            report, log, version = self._scanned(context, base, visitor)
            hidden = [value for value in visitor.cookies().values() if len(value) >= _LONG_ENOUGH_TO_HIDE]
            found = web_report.findings(report, hidden)
            self._after(visitor, login, found)
        pages = web_report.pages(report)
        web_report.refuse_incomplete(log, self.section.modules, found)
        if len(pages) < self.section.least_pages:
            raise NotSeen(
                f"wapiti found {len(pages)} pages and forms, and the plan asks for {self.section.least_pages}.",
                remedy="Name pages to begin with (start), correct the log-in, or lower least_pages.",
                found=found,
            )
        context.note(f"Found: {', '.join(f'{page.method} {page.route}' for page in pages)}"[:4000])
        told = covered(pages, self.section.modules)
        return Seen(found, told, len(pages), "pages and forms", version=version, notes=self._notes(login))

    def _notes(self, login: Login | None) -> list[str]:
        notes = [f"Modules: {', '.join(self.section.modules)}. What needs a host outside was not tried."]
        notes.append(f"Pages behind more than {self.section.depth} links and forms in a row were not opened.")
        if login is None:
            notes.append("Nobody was logged in, so only what strangers see was scanned.")
        else:
            notes.append("Scanned as the plan's account, which was logged in before and still was afterwards.")
        if self.section.exclude:
            notes.append(f"Left out by the plan: {', '.join(self.section.exclude)}.")
        return notes

    def _before(self, visitor: Visitor, login: Login | None) -> None:
        if login:
            login.refuse_open_marker(visitor)
            login.log_in(visitor)
        elif (page := visitor.get("/")).status >= 500:
            raise NotSeen(f"The first page answers {page.status}.", remedy="See whether the application runs.")

    def _after(self, visitor: Visitor, login: Login | None, found: Sequence[Found]) -> None:
        """The same questions as before: a scan of somebody who was logged out, or of a dead server, says nothing."""
        try:
            if login and not login.is_in(visitor):
                raise NotSeen(
                    f"The log-in ended during the scan: {login.section.marker} no longer shows"
                    f" {login.section.marker_text!r}, so nobody knows what was scanned as a stranger.",
                    remedy="Leave out the page that logs out (exclude), or give sessions a longer life in this"
                    " environment.",
                )
            if not login:
                self._before(visitor, None)
        except NotSeen as error:
            raise NotSeen(error.why, remedy=error.remedy, found=found) from error

    def _scanned(self, context: RunContext, base: str, visitor: Visitor) -> tuple[Any, str, str]:
        """The report, the log and the version. What wapiti wrote is removed: it holds the session's cookies."""
        argv = toolbox.program(context, "wapiti")
        version = toolbox.version_of(context, argv)
        folder = context.scratch / "wapiti"
        folder.mkdir(mode=0o700)
        report, log, cookies = folder / "report.json", folder / "wapiti.log", folder / "cookies.json"
        cookies.touch(mode=0o600)
        cookies.write_text(json.dumps(_cookie_file(base, visitor)))
        trusted = [f"SSL_CERT_FILE={self.authority}"] if self.authority else []
        command = [*argv[:-1], *trusted, argv[-1], *self._options(visitor, folder, cookies, report, log)]
        limit = self.section.crawl_time + len(self.section.modules) * self.section.attack_time
        try:
            # Captured, since it prints every attack with its cookies; the log file says the same without them.
            done = context.capture(command, timeout=limit.total_seconds() + _SPARE_SECONDS)
            tree = read_json(report, self.tool, done)
            return tree, log.read_text(errors="replace"), version
        except OSError as error:
            raise NotSeen(f"wapiti wrote no log: {error.strerror}.", remedy="Run this again.") from error
        finally:
            shutil.rmtree(folder)

    def _options(self, visitor: Visitor, folder: File, cookies: File, report: File, log: File) -> list[str]:
        section, login = self.section, self.section.login
        left_out = [*section.exclude, *([login.page, login.log_out] if login else [])]
        excluded = [
            option
            for path in left_out
            if path
            for each in (path, f"{path}?*")
            for option in ("-x", visitor.address(each))
        ]
        started = [option for path in section.start for option in ("-s", visitor.address(path))]
        return [
            "-u", visitor.address("/"), "--scope", "folder", "-d", str(section.depth), "-m", ",".join(section.modules),
            "--max-scan-time", f"{section.crawl_time.total_seconds():g}",
            "--max-attack-time", f"{section.attack_time.total_seconds():g}",
            *excluded, *started, "-c", str(cookies), "--verify-ssl", "1", "--no-bugreport",
            "--endpoint", NOWHERE, "--dns-endpoint", "127.0.0.1", "--flush-session",
            "--store-session", str(folder / "session"), "--store-config", str(folder / "config"),
            "-f", "json", "-o", str(report), "-dr", "1", "--log", str(log), "-v", "0",
        ]  # fmt: skip


def covered(pages: Sequence[RoutePlace], modules: Sequence[str]) -> list[Covered]:
    """What modules that ran looked for on pages that were found: a form that was not found was not attacked."""
    rules = frozenset(web_report.rules_of(modules))
    routes = frozenset(page.route for page in pages)
    by_method = frozenset(f"{page.method} {page.route}" for page in pages)
    return [
        Covered(Family.WEB, places=by_method, rules=rules - web_report.BY_ANY_METHOD),
        Covered(Family.WEB, places=routes, rules=rules & web_report.BY_ANY_METHOD),
    ]


def _cookie_file(base: str, visitor: Visitor) -> dict[str, Any]:
    """The visitor's cookies as wapiti reads them: domain -> path -> name -> attributes."""
    host = urlsplit(base).hostname or ""
    numeric = host.replace(".", "").isdigit()
    domain = host if numeric else f".{host}.local" if "." not in host else f".{host}"
    # A cookie for HTTPS only is sent to this machine without TLS as well, as browsers do and the log-in did.
    secure = urlsplit(base).scheme == "https"
    kept: dict[str, Any] = {}
    for cookie in visitor.jar:
        facts = {"value": cookie.value or "", "expires": None, "secure": secure, "port": None, "version": 0}
        kept.setdefault(cookie.path, {})[cookie.name] = facts
    return {domain: kept}
