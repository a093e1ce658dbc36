"""Every failure of every tool, injected for real: the look is incomplete, which blocks, and says why.

``CELLS`` has each look and each failure once: what brings it about and what must be said, or why it cannot happen.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import override_settings

from checks.kinds.audit import LOOKS
from checks.tools import toolbox
from checks.tools.auditing import asking, packages, web
from checks.tools.auditing.authentication import AuthenticationLook, AuthenticationSection
from checks.tools.auditing.code import CodeLook, CodeSection
from checks.tools.auditing.deploy_check import DeployCheckLook, DeployCheckSection
from checks.tools.auditing.headers import HeadersLook, HeadersSection
from checks.tools.auditing.looking import Look
from checks.tools.auditing.packages import PackagesLook, PackagesSection, Source
from checks.tools.auditing.said import ToolReport, ToolStatus
from checks.tools.auditing.secret_search import SecretsLook, SecretsSection
from checks.tools.auditing.source import SourceSection
from checks.tools.auditing.tls import TlsLook, TlsSection
from checks.tools.auditing.uploaded import SarifLook, SarifSection
from checks.tools.auditing.web import WebLook, WebSection
from tests.findings.test_sarif import RESULT, log
from tests.kinds_audit.shop import open_shop
from tests.kinds_audit.site import serving as serving_site
from tests.kinds_audit.support import looked
from tests.kinds_audit.test_look_at_log_in import LOGIN
from tests.kinds_audit.test_look_at_packages import KNOWING, source_that
from tests.kinds_audit.test_look_at_source import build_of
from tests.kinds_deploy.local_server import Reply, serving

FAILURES = ("404", "refused", "time-out", "truncated", "expired log-in", "missing binary")
NOBODY = "http://127.0.0.1:9"
CLOSED = "https://localhost:9"
#: What wapiti and other programs are asked first.
VERSION = '[ "$1" = --version ] && echo 3.2.3 && exit 0'


class Bench:
    """What a cell works with: a folder, and ways to break things."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def look(self, one: Look, url: str = NOBODY, **more: Any) -> ToolReport:
        folder = self.folder / "run"
        folder.mkdir()
        return looked(one, url, folder, **more)

    def program(self, script: str) -> None:
        """Every tool is this program."""
        path = self.folder / "broken"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        self.monkeypatch.setattr(toolbox, "program", lambda context, name: [str(path)])

    @contextmanager
    def without_programs(self) -> Iterator[None]:
        """Environments of tools that were made, and of which somebody has taken the programs away."""
        with override_settings(TOOLS_ROOT=self.folder / "tools"):
            for box in toolbox.TOOLBOXES:
                toolbox.folder_of(box).mkdir(parents=True)
                (toolbox.folder_of(box) / "complete").touch()
            yield

    def impatient(self) -> None:
        self.monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.3)
        self.monkeypatch.setattr(packages, "PATIENCE_SECONDS", 0.3)
        self.monkeypatch.setattr(web, "_SPARE_SECONDS", 0)

    def source(self, kind: str = "code", **more: Any) -> ToolReport:
        one: Look = CodeLook(CodeSection(**more), SourceSection())
        if kind == "secrets":
            one = SecretsLook(SecretsSection(**more), SourceSection())
        return self.look(one, build_file=build_of({"a.py": "x = 1\n"}, self.folder))

    def packages(self, url: str) -> ToolReport:
        @contextmanager
        def opened() -> Iterator[Source]:
            yield Source(url)

        build = build_of({"requirements.txt": "six==1.16.0\n"}, self.folder)
        return self.look(PackagesLook(PackagesSection(), opened), build_file=build)

    def deploy_check(self, *argv: str) -> ToolReport:
        section = {"command": {"argv": list(argv), "timeout": "400ms"}}
        return self.look(DeployCheckLook(DeployCheckSection.model_validate(section)))

    def tls(self) -> ToolReport:
        return self.look(TlsLook(TlsSection.model_validate({"timeout": "400ms"})), CLOSED)

    def headers(self, url: str, page: str = "/") -> ToolReport:
        return self.look(HeadersLook(HeadersSection.model_validate({"pages": [page]})), url)

    def authentication(self, url: str, **more: Any) -> ToolReport:
        section = {"login": {**LOGIN, **more}}
        return self.look(AuthenticationLook(AuthenticationSection.model_validate(section)), url)

    def web(self, url: str, secrets: dict[str, str] | None = None, **login: Any) -> ToolReport:
        section = {"login": {**LOGIN, **login}, "modules": ["sql"], "crawl_time": "200ms", "attack_time": "200ms"}
        return self.look(WebLook(WebSection.model_validate(section)), url, secrets=secrets)


def _asked_of(answers: list[tuple[int, bytes]], delay: float = 0) -> Callable[[Bench], ToolReport]:
    def cell(bench: Bench) -> ToolReport:
        bench.impatient()
        with source_that(answers, delay) as url:
            return bench.packages(url)

    return cell


def _with(script: str, deed: Callable[[Bench], ToolReport]) -> Callable[[Bench], ToolReport]:
    def cell(bench: Bench) -> ToolReport:
        bench.program(script)
        return deed(bench)

    return cell


def _without_programs(deed: Callable[[Bench], ToolReport]) -> Callable[[Bench], ToolReport]:
    def cell(bench: Bench) -> ToolReport:
        with bench.without_programs():
            return deed(bench)

    return cell


def _packages_without_program(bench: Bench) -> ToolReport:
    with source_that([KNOWING]) as url, bench.without_programs():
        return bench.packages(url)


def _slowly(deed: Callable[[Bench, str], ToolReport]) -> Callable[[Bench], ToolReport]:
    def cell(bench: Bench) -> ToolReport:
        bench.impatient()
        slow = {path: Reply(delay=2) for path in ("/", "/login/", "/account/")}
        with serving(slow) as site:
            return deed(bench, site.url)

    return cell


def _headers_404(bench: Bench) -> ToolReport:
    with serving({}) as site:
        return bench.headers(site.url, "/gone/")


def _authentication_404(bench: Bench) -> ToolReport:
    with serving_site() as site:
        return bench.authentication(site.url, page="/gone/")


def _authentication_expired(bench: Bench) -> ToolReport:
    with serving_site(password="Another-one-since-8") as site:
        return bench.authentication(site.url)


def _web(script: str = "", secrets: dict[str, str] | None = None, **login: Any) -> Callable[[Bench], ToolReport]:
    def cell(bench: Bench) -> ToolReport:
        if script:
            bench.program(script)
        bench.impatient()
        bench.monkeypatch.setattr(asking, "PATIENCE_SECONDS", 15.0)
        with open_shop(bench.folder / "shop") as shop:
            return bench.web(shop.url, secrets, **login)

    return cell


def _web_without_program(bench: Bench) -> ToolReport:
    with open_shop(bench.folder / "shop") as shop, bench.without_programs():
        return bench.web(shop.url)


def _sarif_truncated(bench: Bench) -> ToolReport:
    name = default_storage.save("uploads/shop/cut.sarif", ContentFile(json.dumps(log(RESULT)).encode()[:-9]))
    return bench.look(SarifLook(SarifSection(), name))


Cell = tuple[Callable[[Bench], ToolReport], str] | str
ASKS_NOBODY, READS_NO_REPORT = "It asks no server.", "It reads no report of a program."
NO_LOG_IN, NO_PROGRAM = "It does not log in.", "It runs no program."
HANGS, SILENT, CUT = "sleep 9", "exit 0", "is not whole"
CELLS: dict[tuple[str, str], Cell] = {
    ("packages", "404"): (_asked_of([(404, b"not here")]), "answers 404: not here"),
    ("packages", "refused"): (lambda bench: bench.packages(f"{NOBODY}/v1/query"), "does not answer"),
    ("packages", "time-out"): (_asked_of([KNOWING], delay=2), "does not answer"),
    ("packages", "truncated"): (_asked_of([(200, b'{"vulns": [')]), CUT),
    ("packages", "expired log-in"): NO_LOG_IN,
    ("packages", "missing binary"): (_packages_without_program, "pip-audit is not there"),
    ("code", "404"): ASKS_NOBODY,
    ("code", "refused"): ASKS_NOBODY,
    ("code", "time-out"): (_with(HANGS, lambda bench: bench.source(timeout="400ms")), "was ended after"),
    ("code", "truncated"): (_with('printf \'{"results": [\' > "$6"', lambda bench: bench.source()), CUT),
    ("code", "expired log-in"): NO_LOG_IN,
    ("code", "missing binary"): (_without_programs(lambda bench: bench.source()), "bandit is not there"),
    ("secrets", "404"): ASKS_NOBODY,
    ("secrets", "refused"): ASKS_NOBODY,
    ("secrets", "time-out"): (
        _with(HANGS, lambda bench: bench.source("secrets", timeout="400ms")), "took longer than 0.4 s"
    ),
    ("secrets", "truncated"): (_with("printf '{\"version\"'", lambda bench: bench.source("secrets")), CUT),
    ("secrets", "expired log-in"): NO_LOG_IN,
    ("secrets", "missing binary"): (
        _without_programs(lambda bench: bench.source("secrets")), "detect-secrets is not there"
    ),
    ("deploy_check", "404"): ASKS_NOBODY,
    ("deploy_check", "refused"): ASKS_NOBODY,
    ("deploy_check", "time-out"): (lambda bench: bench.deploy_check("sleep", "9"), "took longer than 0.4 s"),
    ("deploy_check", "truncated"): (
        lambda bench: bench.deploy_check("echo", "System check identified"), "did not print what Django's check ends"
    ),
    ("deploy_check", "expired log-in"): NO_LOG_IN,
    ("deploy_check", "missing binary"): (lambda bench: bench.deploy_check("/no/such/python"), "cannot be run"),
    ("tls", "404"): "It asks for no page.",
    ("tls", "refused"): (
        lambda bench: bench.look(TlsLook(TlsSection()), CLOSED), "could not make a connection"
    ),
    ("tls", "time-out"): (_with(HANGS, lambda bench: bench.tls()), "was ended after"),
    ("tls", "truncated"): (_with('echo "{" > "$3"', lambda bench: bench.tls()), CUT),
    ("tls", "expired log-in"): NO_LOG_IN,
    ("tls", "missing binary"): (_without_programs(lambda bench: bench.tls()), "sslyze is not there"),
    ("headers", "404"): (_headers_404, "/gone/ answers 404"),
    ("headers", "refused"): (lambda bench: bench.headers(NOBODY), "No answer from 127.0.0.1"),
    ("headers", "time-out"): (_slowly(lambda bench, url: bench.headers(url)), "gave no answer within 0.3 s"),
    ("headers", "truncated"): READS_NO_REPORT,
    ("headers", "expired log-in"): NO_LOG_IN,
    ("headers", "missing binary"): NO_PROGRAM,
    ("sarif", "404"): ASKS_NOBODY,
    ("sarif", "refused"): ASKS_NOBODY,
    ("sarif", "time-out"): ASKS_NOBODY,
    ("sarif", "truncated"): (_sarif_truncated, "not valid JSON"),
    ("sarif", "expired log-in"): NO_LOG_IN,
    ("sarif", "missing binary"): (lambda bench: bench.look(SarifLook(SarifSection(), "")), "No SARIF file came"),
    ("web", "404"): (_web(page="/gone/"), "/gone/ answers 40"),
    ("web", "refused"): (lambda bench: bench.web(NOBODY), "No answer from 127.0.0.1"),
    ("web", "time-out"): (_web(f"{VERSION}; {HANGS}"), "took longer than 0.4 s"),
    ("web", "truncated"): (_web(f'{VERSION}; echo "{{" > wapiti/report.json'), CUT),
    ("web", "expired log-in"): (_web(secrets={"password": "old"}), "The plan's account was not let in"),
    ("web", "missing binary"): (_web_without_program, "wapiti is not there"),
    ("authentication", "404"): (_authentication_404, "/gone/ answers 404"),
    ("authentication", "refused"): (lambda bench: bench.authentication(NOBODY), "No answer from 127.0.0.1"),
    ("authentication", "time-out"): (
        _slowly(lambda bench, url: bench.authentication(url)), "gave no answer within 0.3 s"
    ),
    ("authentication", "truncated"): READS_NO_REPORT,
    ("authentication", "expired log-in"): (_authentication_expired, "The plan's account was not let in"),
    ("authentication", "missing binary"): NO_PROGRAM,
}  # fmt: skip


def _cells() -> list[Any]:
    # sslyze itself is asked in one; in all others the program is the failure, or there is none.
    real = {("tls", "refused"): [pytest.mark.campaign]}
    return [
        pytest.param(*cell, id=", ".join(place), marks=real.get(place, []))
        for place, cell in CELLS.items()
        if not isinstance(cell, str)
    ]


@pytest.mark.usefixtures("storage_folder")
@pytest.mark.parametrize(("deed", "why"), _cells())
def test_a_failure_is_incomplete_and_says_why(
    deed: Callable[[Bench], ToolReport], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = deed(Bench(tmp_path, monkeypatch))
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why
    assert not report.covered


def test_each_look_has_each_failure_or_a_reason_why_it_cannot_happen() -> None:
    assert list(CELLS) == [(tool, failure) for tool in LOOKS for failure in FAILURES]
