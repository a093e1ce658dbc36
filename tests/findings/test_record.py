"""A scan becomes findings: new, still there, resolved, come back; and only a completed look resolves."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from checks import findings
from checks.enums import FindingSeverity
from checks.errors import Fenced
from checks.findings import accepting
from checks.models import Finding, FindingName, Occurrence, Presence, Run, Scan
from checks.tools.auditing.said import Covered, Family, Severity
from releases.models import Application, LedgerEntry
from tests.factories import check, make_application, make_release, make_team
from tests.findings.support import audit_run, end, host, line, package, report, route, scan

pytestmark = pytest.mark.django_db

DJANGO = package("django", "PYSEC-2024-47", "CVE-2024-27351")
XSS = route("/search", cwe=(79,))
TLS = host("staging.example", "tls-1.0")


@pytest.fixture
def application() -> Application:
    return make_application()


def test_findings_live_longer_than_a_scan(application: Application) -> None:
    first, run = scan(application, report("pip-audit", DJANGO), report("wapiti", XSS))
    assert (len(first.new), first.still_there, first.over_limit) == (2, (), first.new)
    assert first.open_by_severity == {"critical": 0, "high": 2, "medium": 0, "low": 0, "unknown": 0}
    second, _ = scan(application, report("pip-audit", DJANGO), report("wapiti"))
    assert (second.new, len(second.still_there), len(second.resolved)) == ((), 1, 1)
    gone = Finding.objects.get(family="web")
    assert gone.resolved_at is not None
    third, _ = scan(application, report("pip-audit", DJANGO), report("wapiti", XSS))
    assert (third.reopened, third.new) == ((gone.pk,), ())
    assert [row.change for row in gone.occurrences.all()] == ["reopened", "resolved", "new"]
    gone.refresh_from_db()
    assert (gone.resolved_at, gone.first_run) == (None, run)
    entry = LedgerEntry.objects.filter(action="findings.recorded").latest("id")
    assert entry.document["reopened"] == [gone.pk]
    assert Scan.objects.get(run=run).tools[0]["tool"] == "pip-audit"


def test_what_was_not_looked_at_stays_open(application: Application) -> None:
    scan(application, report("wapiti", XSS), report("pip-audit", DJANGO), report("sslyze", TLS))
    for reports in (
        [report("wapiti", why="The log-in expired.")],
        [report("wapiti", covered=(Covered(Family.WEB, frozenset({"/other"})),))],
        [report("wapiti", covered=(Covered(Family.WEB, frozenset({"/search"}), frozenset({"sql"})),))],
        [report("wapiti", covered=())],
        [report("zap")],  # another tool's "every rule" is not this one's
        [],
    ):
        recorded, _ = scan(application, *reports)
        assert not [pk for pk in recorded.resolved if Finding.objects.get(pk=pk).family == "web"], reports
    assert recorded.not_looked_at == 3
    done, _ = scan(application, report("zap", covered=(Covered(Family.WEB, None, frozenset({"xss"})),)))
    assert len(done.resolved) == 1
    places = frozenset({"Django"})
    done, _ = scan(application, report("pip-audit", covered=(Covered(Family.DEPENDENCIES, places),)))
    assert len(done.resolved) == 1


def test_what_is_open_at_the_limit_and_not_looked_at_is_left_open(application: Application) -> None:
    light = route("/light", severity=Severity.MEDIUM)
    scan(application, report("wapiti", XSS, light, route("/worse", severity=Severity.CRITICAL)))
    finding, worse = Finding.objects.get(place__route="/search"), Finding.objects.get(place__route="/worse")
    elsewhere = report("wapiti", covered=(Covered(Family.WEB, frozenset({"/other"})),))
    recorded, run = scan(application, elsewhere)
    assert (recorded.not_looked_at, recorded.left_open, recorded.over_limit) == (3, (worse.pk, finding.pk), ())
    assert set(run.occurrences.values_list("change", "finding")) == {("unseen", finding.pk), ("unseen", worse.pk)}
    recorded, _ = scan(application, elsewhere, limit=Severity.CRITICAL)
    assert recorded.left_open == (worse.pk,)
    recorded, _ = scan(application, elsewhere, environment="production")
    assert recorded.left_open == ()
    team = make_team(application)
    acceptance = accepting.request_acceptance(
        finding=worse, requester=team.engineer, reason="Its page is gone.", expires_at=timezone.now() + timedelta(9)
    )
    accepting.approve_acceptance(acceptance=acceptance, approver=team.manager)
    recorded, _ = scan(application, elsewhere)
    assert recorded.left_open == (finding.pk,)
    recorded, _ = scan(application, report("wapiti"))
    assert (recorded.left_open, len(recorded.resolved)) == ((), 3)


def test_what_another_blocking_audit_saw_last_is_for_that_one_to_answer() -> None:
    audits = {"audit": check("audit"), "attack": check("audit")}
    application = make_application(plan={"checks": audits})
    release = make_release(application=application)
    scan(application, report("wapiti", XSS), release=release)
    elsewhere = report("headers", covered=(Covered(Family.HEADERS),))
    assert len(scan(application, elsewhere, release=release, section="checks.attack")[0].left_open) == 0
    assert len(scan(application, elsewhere, release=release)[0].left_open) == 1
    release.items.filter(section="checks.audit").update(blocking=False)
    assert len(scan(application, elsewhere, release=release, section="checks.attack")[0].left_open) == 1


def test_a_page_that_is_not_asked_any_more_keeps_what_was_seen_there(application: Application) -> None:
    policy = host("content-security-policy", "csp-not-implemented", family=Family.HEADERS)

    def looked(*asked: str, found_at: tuple[str, ...] = ()) -> findings.Recorded:
        covered = (Covered(Family.HEADERS, pages=frozenset(asked)),)
        found = [replace(policy, pages=found_at)] if found_at else []
        return scan(application, report("headers", *found, covered=covered))[0]

    looked("/", "/login", found_at=("/", "/login"))
    assert looked("/").resolved == ()
    # Seen again at the one page, it still is at the other, which nobody asked.
    assert len(looked("/", found_at=("/",)).still_there) == 1
    assert (looked("/").resolved, looked("/").not_looked_at) == ((), 1)
    assert len(looked("/", "/login", "/more").resolved) == 1
    # It came back at one page only, so that page is enough.
    assert len(looked("/", found_at=("/",)).reopened) == 1
    assert len(looked("/").resolved) == 1


def test_another_environment_resolves_nothing_here(application: Application) -> None:
    scan(application, report("wapiti", XSS), environment="production")
    recorded, _ = scan(application, report("wapiti", XSS))
    assert len(recorded.still_there) == 1
    recorded, _ = scan(application, report("wapiti"))
    assert len(recorded.resolved) == 1
    finding = Finding.objects.get()
    assert finding.resolved_at is None  # production still has it
    scan(application, report("wapiti"), environment="production")
    finding.refresh_from_db()
    assert finding.resolved_at is not None


def test_two_ids_of_one_vulnerability_are_one_finding_also_when_the_link_is_known_later(
    application: Application,
) -> None:
    by_cve, by_ghsa = package("django", "CVE-2024-27351"), package("Django", "GHSA-vm8q-m57g-pff3")
    first, _ = scan(application, report("pip-audit", by_cve), report("osv-scanner", by_ghsa))
    assert len(first.new) == 2
    linked = package("django", "PYSEC-2024-47", "CVE-2024-27351", "GHSA-vm8q-m57g-pff3")
    second, _ = scan(application, report("pip-audit", linked))
    assert (second.still_there, second.new, second.resolved) == ((first.new[0],), (), ())
    survivor = Finding.objects.get(joined_into=None)
    assert survivor.aliases == ["CVE-2024-27351", "GHSA-VM8Q-M57G-PFF3", "PYSEC-2024-47"]
    assert FindingName.objects.filter(finding=survivor).count() == 3
    for known in (by_cve, by_ghsa):
        later, _ = scan(application, report("osv-scanner", known))
        assert later.still_there == (survivor.pk,)
    done, _ = scan(application, report("osv-scanner"))
    assert done.resolved == (survivor.pk,)
    assert Finding.objects.get(joined_into=survivor).names.count() == 0


def test_two_findings_of_before_seen_apart_by_one_tool_stay_one(application: Application) -> None:
    scan(application, report("pip-audit", package("django", "CVE-1", "GHSA-1")))
    recorded, _ = scan(
        application, report("pip-audit", package("django", "CVE-1")), report("b", package("django", "GHSA-1"))
    )
    assert (len(recorded.still_there), Finding.objects.count()) == (1, 1)
    assert Occurrence.objects.latest("pk").tools == ["b", "pip-audit"]


def test_unknown_counts_as_high_and_the_limit_decides(application: Application) -> None:
    unknown = replace(DJANGO, severity=Severity.UNKNOWN)
    recorded, _ = scan(application, report("pip-audit", unknown), report("bandit", line("a.py", "run(x)")))
    assert len(recorded.over_limit) == 1
    recorded, _ = scan(application, report("pip-audit", unknown), limit=Severity.CRITICAL)
    assert recorded.over_limit == ()
    recorded, _ = scan(application, report("bandit", line("a.py", "run(x)", number=7)), limit=Severity.MEDIUM)
    assert len(recorded.over_limit) == 1
    assert Occurrence.objects.exclude(change="unseen").latest("pk").lines == [7]


def test_a_later_attempt_takes_the_place_of_an_earlier_one(application: Application) -> None:
    scan(application, report("wapiti", XSS))
    run = audit_run(application)
    first = findings.record(run=run, reports=[report("wapiti", route("/b")), report("pip-audit", DJANGO)])
    assert (len(first.new), len(first.resolved)) == (2, 1)
    again = findings.record(run=run, reports=[report("wapiti", XSS), report("pip-audit", DJANGO)])
    assert (len(again.new), len(again.still_there), again.reopened) == (1, 1, ())
    assert Occurrence.objects.filter(run=run).count() == 3  # /b of the first attempt was looked for and is gone
    broken = findings.record(run=run, reports=[report("wapiti", why="Killed.")])
    assert (broken.not_looked_at, Occurrence.objects.filter(run=run).exclude(change="unseen").count()) == (3, 0)
    assert Occurrence.objects.filter(run=run, change="unseen").count() == 3
    assert Finding.objects.filter(resolved_at=None).count() == 3


def test_who_lost_the_run_keeps_nothing(application: Application) -> None:
    run = audit_run(application)
    end(Run.objects.get(pk=run.pk))
    with pytest.raises(Fenced), transaction.atomic():
        findings.record(run=run, reports=[report("wapiti", XSS)])
    assert not Finding.objects.exists()


def test_what_a_tool_cannot_spell_is_kept_all_the_same(application: Application) -> None:
    odd = route("/a\x00b\ud800", detail="\x00" + "x" * 9000, title="", rule="r" * 500, link="javascript:alert(1)")
    recorded, _ = scan(application, report("wapiti", odd), report("pip-audit", package("p" * 400, "CVE-" + "1" * 400)))
    assert len(recorded.new) == 2
    assert Finding.objects.get(family="web").link == ""
    recorded, _ = scan(application, report("wapiti", odd), report("pip-audit", package("p" * 400, "CVE-" + "1" * 400)))
    assert len(recorded.still_there) == 2


def test_the_database_keeps_what_was_found(application: Application) -> None:
    _, run = scan(application, report("wapiti", XSS))
    finding = Finding.objects.get()
    for change in (
        lambda: Finding.objects.filter(pk=finding.pk).delete(),
        lambda: Finding.objects.filter(pk=finding.pk).update(fingerprint="0" * 64),
        lambda: Finding.objects.filter(pk=finding.pk).update(severity=FindingSeverity.LOW),
        lambda: Finding.objects.filter(pk=finding.pk).update(joined_into=finding.pk),
        lambda: Occurrence.objects.filter(run=run).update(severity="low"),
        lambda: Occurrence.objects.filter(run=run).delete(),
        lambda: Scan.objects.filter(run=run).update(limit="low"),
        lambda: Presence.objects.update(resolved_run=run),
    ):
        with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
            change()
    with pytest.raises(IntegrityError), transaction.atomic():
        Finding.objects.bulk_create([Finding(**{**_columns(finding), "rule": "again"})])


def _columns(finding: Finding) -> dict[str, object]:
    return {field.attname: getattr(finding, field.attname) for field in Finding._meta.fields if field.name != "id"}


def test_many_findings_take_as_many_queries_as_few() -> None:
    counts = []
    for many in (3, 60):
        found = [package(f"p{n}", f"CVE-{n}") for n in range(many)] + [line("a.py", f"x{n}") for n in range(many)]
        run = audit_run(make_application())
        with CaptureQueriesContext(connection) as queries:
            findings.record(run=run, reports=[report("pip-audit", *found)])
        counts.append(len(queries))
    assert counts[0] == counts[1]
