"""Known vulnerabilities by pip-audit as it is, asked of the imported advisories; no broken source is ever a pass."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import override_settings

from checks import advisories
from checks.advisories import ages
from checks.findings.enriching import enriched
from checks.findings.fingerprints import severity_of
from checks.tools.auditing.packages import PackagesLook, PackagesSection, Source, advisories_to_ask
from checks.tools.auditing.said import PackagePlace, Severity, ToolReport, ToolStatus
from checks.tools.auditing.source import SourceSection
from tests.advisories.support import entry, imported
from tests.kinds_audit.support import looked, rules
from tests.kinds_audit.test_look_at_source import build_of

pytestmark = [pytest.mark.campaign, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage_folder")]
KNOWN = [
    entry("PYSEC-2021-9", "Django", events=[{"introduced": "0"}, {"fixed": "3.2.1"}], aliases=["CVE-2021-31542"]),
    entry(
        "GHSA-aaaa-bbbb-cccc", "pyyaml", events=[{"introduced": "0"}, {"fixed": "5.4"}], aliases=["CVE-2020-14343"],
        severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        database_specific={"severity": "CRITICAL", "cwe_ids": ["CWE-20"]}, summary="Arbitrary code by full_load",
    ),
    entry("GHSA-dddd-eeee-ffff", "lodash", ecosystem="npm", range_type="SEMVER",
          events=[{"introduced": "0"}, {"fixed": "4.17.21"}], database_specific={"severity": "HIGH"}),
]  # fmt: skip
NPM = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "shop", "version": "1.0.0"},
        "node_modules/lodash": {"version": "4.17.20"},
        "node_modules/left-pad": {"version": "1.3.0"},
    },
}


def look(files: dict[str, str], folder: Path, url: str = "", **more: Any) -> ToolReport:
    folder.mkdir()

    @contextmanager
    def opened() -> Iterator[Source]:
        yield Source(url)

    source = SourceSection.model_validate(more.pop("source", {}))
    build = more.pop("build", None) or build_of(files, folder)
    one = PackagesLook(PackagesSection.model_validate(more), opened if url else advisories_to_ask, source)
    with override_settings(OSV_URL=""):
        return looked(one, "http://127.0.0.1:1", folder, build_file=build)


def test_bad_pins_are_found_and_good_ones_are_not(tmp_path: Path) -> None:
    imported(*KNOWN)
    bad = {"requirements.txt": "pyyaml==5.3\nsix==1.16.0\n", "web/package-lock.json": json.dumps(NPM)}
    report = look(bad, tmp_path / "bad")
    assert (report.status, report.looked_at, report.why) == (ToolStatus.FINDINGS, 4, "")
    yaml, lodash = sorted(report.found, key=lambda found: found.rule)
    assert (yaml.place, yaml.severity, yaml.cvss) == (PackagePlace("PyPI", "pyyaml", "5.3"), Severity.CRITICAL, 9.8)
    assert (yaml.rule, yaml.fixed_in, yaml.cwe, yaml.owasp) == ("CVE-2020-14343", ("5.4",), (20, 1395), "A03")
    assert "GHSA-aaaa-bbbb-cccc" in yaml.aliases
    assert (lodash.place, lodash.severity) == (PackagePlace("npm", "lodash", "4.17.20"), Severity.HIGH)
    assert "Asked the imported advisories of PyPI" in " ".join(report.notes)
    good = {"requirements.txt": "pyyaml==5.4\nsix==1.16.0\n"}
    report = look(good, tmp_path / "good")
    assert (report.status, rules(report), report.looked_at) == (ToolStatus.OK, set(), 2)


def test_a_package_of_which_a_lock_names_several_versions_is_looked_up_in_each(tmp_path: Path) -> None:
    imported(*KNOWN)
    platforms = "pyyaml==5.4 ; python_version < '3.12'\npyyaml==5.3 ; python_version >= '3.12'\nsix==1.16.0\n"
    report = look({"requirements.txt": platforms}, tmp_path / "app")
    assert (report.status, report.looked_at, report.why) == (ToolStatus.FINDINGS, 3, "")
    assert [found.place for found in report.found] == [PackagePlace("PyPI", "pyyaml", "5.3")]
    assert "requirements.txt: without hashes" in report.notes[-1]
    hashed = f"six==1.16.0 --hash=sha256:{'a' * 64}\n"
    assert "hashes" not in " ".join(look({"requirements.txt": hashed}, tmp_path / "hashed").notes)


def test_a_package_without_an_exact_version_is_no_pass(tmp_path: Path) -> None:
    imported(*KNOWN)
    loose = {"requirements.txt": "pyyaml==5.3\nrequests>=2\npillow\n-r base.txt\n"}
    report = look(loose, tmp_path / "loose")
    assert report.status is ToolStatus.INCOMPLETE
    for line in ("requests>=2", "pillow", "-r base.txt (not in the build)"):
        assert f"requirements.txt: {line}" in report.why
    assert "packages.installed" in report.remedy
    assert rules(report) == {"CVE-2020-14343"}
    whole = {"requirements.txt": "six==1.16.0\n-r base.txt\n", "base.txt": "idna==3.10", "x/requirements.txt": "a==1"}
    report = look(whole, tmp_path / "whole")
    assert (report.status, report.looked_at, report.why) == (ToolStatus.OK, 3, "")
    left_out = {"requirements.txt": "six==1.16.0\n", "docs/requirements.txt": "sphinx\n"}
    report = look(left_out, tmp_path / "left out", source={"exclude": ["docs/*"]})
    assert (report.status, report.looked_at) == (ToolStatus.OK, 1)
    assert report.notes[-1] == "Left out by the plan: docs/requirements.txt."
    texts = {"requirements/README.txt": "Lists\n", "requirements/a.txt": "By hand.\n"}
    report = look(texts | {"requirements.txt": "six==1.16.0\n"}, tmp_path / "texts")
    assert (report.status, report.looked_at) == (ToolStatus.OK, 1)
    assert report.notes[-1] == "Not taken for lists of packages: requirements/README.txt, requirements/a.txt."


def test_the_plan_says_which_source_has_locks_of_npm(tmp_path: Path) -> None:
    imported(*KNOWN)
    lock = tmp_path / "lock.txt"
    lock.write_text("six==1.16.0\n")
    script = 'mkdir "$GONOGO_SOURCE/web"; printf %s "$NPM" > "$GONOGO_SOURCE/web/package-lock.json"'
    unpack = {"script": script, "timeout": "9s", "variables": {"NPM": json.dumps(NPM)}}
    report = look({}, tmp_path / "unpacked", source={"unpack": unpack}, build=lock)
    assert (rules(report), report.looked_at) == ({"GHSA-dddd-eeee-ffff"}, 3)
    report = look({}, tmp_path / "left out", source={"unpack": unpack, "exclude": ["web/*"]}, build=lock)
    assert (report.status, "No file of source is left" in report.why) == (ToolStatus.INCOMPLETE, True)
    report = look({}, tmp_path / "broken", source={"unpack": {"script": "exit 3", "timeout": "9s"}}, build=lock)
    assert (report.status, "ended with 3" in report.why) == (ToolStatus.INCOMPLETE, True)
    assert look({}, tmp_path / "none", build=lock).status is ToolStatus.OK


def test_the_packages_look_leaves_no_source_for_the_next_look(tmp_path: Path) -> None:
    imported(*KNOWN)
    files = {"requirements.txt": "six==1.16.0\n", "tests/a.py": "x = 1\n"}
    assert look(files, tmp_path / "app").status is ToolStatus.OK
    assert not (tmp_path / "app" / "source").exists()


def test_a_build_with_too_much_source_still_has_its_lock_of_npm_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(*KNOWN)
    monkeypatch.setattr("checks.tools.auditing.source.MAX_FILES", 2)
    files = {"requirements.txt": "six==1.16.0\n", "web/package-lock.json": json.dumps(NPM), "a.py": "", "b.py": ""}
    assert rules(look(files, tmp_path / "app")) == {"GHSA-dddd-eeee-ffff"}
    frozen = {"installed": {"argv": ["printf", "six==1.16.0\\n"], "timeout": "9s"}}
    assert rules(look(files, tmp_path / "installed", **frozen)) == {"GHSA-dddd-eeee-ffff"}


LODASH = {"package-lock.json": json.dumps({"packages": {"node_modules/lodash": {"version": "4.17.20"}}})}


def test_a_fix_of_another_package_of_the_same_advisory_is_none(tmp_path: Path) -> None:
    def affected(name: str, fixed: str, ecosystem: str = "npm") -> dict[str, Any]:
        events = [{"introduced": "0"}, {"fixed": fixed}]
        return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "SEMVER", "events": events}]}

    several = [affected("lodash", "4.17.21"), affected("lodash-es", "9.9.9"), affected("lodash", "8.8.8", "RubyGems")]
    document = {"id": "GHSA-dddd-eeee-ffff", "affected": several}
    with source_that([(200, json.dumps({"vulns": [document]}).encode())]) as url:
        (found,) = look(LODASH, tmp_path / "app", url).found
    assert (found.fixed_in, found.remedy) == (("4.17.21",), "Install lodash 4.17.21.")


V3, V4, V5 = (
    "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:L/A:N",
    "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
    "CVSS:5.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
)


@pytest.mark.parametrize(
    ("vectors", "word", "expected"),
    [
        ([V3], "", (4.2, "unknown", "medium")),
        ([V4], "", (9.3, "unknown", "critical")),
        ([V3, V4], "", (9.3, "unknown", "critical")),
        ([V3, V4], "MODERATE", (9.3, "medium", "critical")),
        ([V5], "", (None, "unknown", "unknown")),
        ([V3, V5], "", (None, "unknown", "unknown")),
        ([V3, V5], "CRITICAL", (None, "critical", "critical")),
        ([V5], "MODERATE", (None, "medium", "medium")),
        ([V3, V5], "MODERATE", (4.2, "medium", "medium")),
    ],
)
def test_a_rating_that_cannot_be_read_never_counts_as_less_than_what_is_read(
    vectors: list[str], word: str, expected: tuple[float | None, str, str], tmp_path: Path
) -> None:
    rated = [{"type": f"CVSS_V{each[5]}", "score": each} for each in vectors]
    document = {"id": "GHSA-dddd-eeee-ffff", "severity": rated, "database_specific": {"severity": word}}
    with source_that([(200, json.dumps({"vulns": [document]}).encode())]) as url:
        report = look(LODASH, tmp_path / "app", url)
    imported(entry("GHSA-dddd-eeee-ffff", "lodash", ecosystem="npm", severity=rated,
                   database_specific={"severity": word}))  # fmt: skip
    for (found,) in (report.found, enriched([report])[0].found):
        assert (found.cvss, found.severity.value, severity_of(found).value) == expected


def test_what_is_installed_can_be_asked_instead(tmp_path: Path) -> None:
    imported(*KNOWN)
    frozen = {"installed": {"argv": ["printf", "PyYAML==5.3\\nsix==1.16.0\\n"], "timeout": "9s"}}
    assert rules(look({}, tmp_path / "bad", **frozen)) == {"CVE-2020-14343"}
    frozen["installed"]["argv"] = ["printf", "six==1.16.0\\nshop @ file:///srv/shop\\n"]
    report = look({}, tmp_path / "unknown", **frozen)
    assert report.status is ToolStatus.INCOMPLETE
    assert "2 packages are installed, and the exact version of 1" in report.why


def test_a_source_that_knows_nothing_is_no_pass(tmp_path: Path) -> None:
    pins = {"requirements.txt": "six==1.16.0\n"}
    assert "No advisories were imported" in look(pins, tmp_path / "none").why
    imported(entry("PYSEC-2024-7", "nobody", events=[{"introduced": "0"}]))
    report = look(pins, tmp_path / "little")
    assert report.status is ToolStatus.INCOMPLETE
    assert "knows of none even in django 3.2" in report.why
    report = look({"package-lock.json": json.dumps(NPM)}, tmp_path / "npm")
    assert (report.status, "answers 503" in report.why) == (ToolStatus.INCOMPLETE, True), report.why


def test_advisories_older_than_the_plan_asks_for_are_no_pass(tmp_path: Path) -> None:
    imported(*KNOWN)
    pins = {"requirements.txt": "six==1.16.0\n"}
    age = ages()[0].length
    report = look(pins, tmp_path / "old", advisories_within=f"{age.days}d")
    assert (report.status, f"are {age.days} days old, and the plan asks for" in report.why) == (
        ToolStatus.INCOMPLETE, True,
    ), report.why  # fmt: skip
    assert look(pins, tmp_path / "fresh", advisories_within=f"{age.days + 1}d").status is ToolStatus.OK
    # Only of what is asked.
    npm = {"package-lock.json": json.dumps(NPM)}
    assert "of npm are" in look(npm, tmp_path / "npm", advisories_within="1h").why


@contextmanager
def source_that(answers: list[tuple[int, bytes]], delay: float = 0) -> Iterator[str]:
    """A real server that gives these answers one after the other, the last for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            time.sleep(delay)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    with answering(Handler) as url:
        yield f"{url}/v1/query"


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


KNOWING = (200, json.dumps({"vulns": [KNOWN[0]]}).encode())


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([(404, b"not here")], "answers 404: not here"),
        ([KNOWING, (404, b"not here")], "pip-audit ended with"),
        ([(200, b'{"vulns": [')], "is not whole"),
        ([KNOWING, (200, b'{"vulns": [')], "pip-audit ended with"),
        ([(200, b"{}")], "knows of none even in django 3.2"),
        ([KNOWING, (200, b'{"vulns": [{"id": "X-1", "schema_version": "2.0.0"}]}')], "passes over"),
    ],
)
def test_a_source_that_breaks_is_no_pass(answers: list[tuple[int, bytes]], why: str, tmp_path: Path) -> None:
    with source_that(answers) as url:
        report = look({"requirements.txt": "six==1.16.0\n"}, tmp_path / "app", url)
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why


def test_a_source_that_is_gone_or_slow_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = {"requirements.txt": "six==1.16.0\n"}
    assert "does not answer" in look(pins, tmp_path / "gone", "http://127.0.0.1:9/v1/query").why
    monkeypatch.setattr("checks.tools.auditing.packages.PATIENCE_SECONDS", 0.2)
    with source_that([KNOWING], delay=1) as url:
        assert "does not answer" in look(pins, tmp_path / "slow", url).why
    monkeypatch.undo()
    with source_that([KNOWING], delay=4) as url:  # longer than the time limit by itself
        report = look(pins, tmp_path / "slower", url, timeout="2s")
    assert "took longer than 2 s" in report.why


def test_a_source_behind_a_proxy_is_asked_through_it_by_pip_audit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(*KNOWN)
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(f"{self.headers['User-Agent'].split('/')[0]} {self.path}")
            answer = httpx.post(inner, content=body, trust_env=False).content
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with advisories.served() as inner, answering(Proxy) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        source = "http://osv.invalid/v1/query"
        report = look({"requirements.txt": "pyyaml==5.3\n"}, tmp_path / "app", source)
    assert (report.status, rules(report)) == (ToolStatus.FINDINGS, {"CVE-2020-14343"}), report.why
    assert {f"python-httpx {source}", f"python-requests {source}"} <= {*asked}, asked
