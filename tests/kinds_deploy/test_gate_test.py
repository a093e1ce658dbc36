"""Known faults are planted in copies: the checks say no and name them, and nothing is left behind."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from checks.kinds.base import Outcome, all_kinds, get_kind
from checks.models import Finding, Run, StoredBackup
from checks.plan import parse
from checks.tools.planting import judging
from checks.tools.planting.fault import Planted
from checks.tools.planting.faults import FAULTS, NOT_PLANTED
from checks.tools.planting.judging import Seen, names
from checks.tools.planting.proving import of_plan
from releases.models import Evidence
from tests.advisories.support import entry, imported
from tests.engine.support import check, log_text, run_section
from tests.kinds_audit.test_look_at_source import build_of
from tests.kinds_data.support import databases
from tests.kinds_deploy.gate_world import World, page, verdicts
from tests.kinds_deploy.local_server import Reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.campaign
def test_every_planted_fault_is_caught_and_nothing_is_left(world: World) -> None:
    before = databases()
    run = world.run(faults=["drifted-setting", "missing-column", "missing-header", "slow-endpoint", "broken-page",
                            "lost-row"])  # fmt: skip
    assert run.state == "passed", log_text(run)
    assert set(verdicts(run).values()) == {"caught"}, run.result["faults"]
    said = "6 of 6 planted faults were caught; that proves 3 of the plan's 6 checks and looks."
    assert run.summary == said
    assert databases() == before
    assert Evidence.objects.get(run_id=run.pk).verdict == "passed"
    assert world.server.replies["/shop"].body == b"welcome"
    with_and_without = {(row["without"]["said"], row["with"]["said"]) for row in run.result["faults"]}
    assert with_and_without == {("passed", "failed")}
    text = page(run)
    assert "the header x-frame-options is missing" in text
    assert "style=" not in text


@pytest.mark.campaign
def test_a_row_is_lost_where_the_plan_s_own_check_looks(world: World) -> None:
    own = check("reconcile", params={"source": "production", "tables": ["visit"], "compare_schema": False})
    run = world.run(more={"catalogue": own}, faults=["lost-row"])
    (row,) = run.result["faults"]
    assert (row["verdict"], row["planted"]) == ("caught", "one row of public.visit is gone"), row


@pytest.mark.campaign
def test_a_lossy_migration_is_caught_by_the_way_back(world: World) -> None:
    world.pair.sql("target", "ANALYZE")
    run = world.run(faults=["lossy-migration"])
    assert verdicts(run) == {"lossy-migration": "caught"}, (run.result["faults"], log_text(run))


def test_a_backup_cut_short_is_caught_and_the_real_one_is_not_touched(world: World, storage_folder: Path) -> None:
    run = world.run(first="checks.backup", faults=["truncated-backup"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    assert "is cut at its end: the last 100 of" in row["with"]["summary"]
    assert not list(storage_folder.rglob("gate-test/*"))
    assert run_section(run.application, "checks.drill", release=run.release).state == "passed"
    assert [(kept.fault, kept.drilled_at is not None) for kept in StoredBackup.objects.all()] == [("", True)]


def test_without_a_backup_and_without_advisories_nothing_is_planted(world: World) -> None:
    with override_settings(OSV_URL=""):
        run = world.run(more={"audit": PACKAGES}, faults=["truncated-backup", "vulnerable-pin"])
    assert run.state == "errored"
    assert verdicts(run) == {"truncated-backup": "untested", "vulnerable-pin": "untested"}
    why = [row["why"] for row in run.result["faults"]]
    assert all(each.startswith("not tested, because ") for each in why)
    assert "no advisories were imported" in " ".join(why)
    assert "no published backup" in " ".join(why)


PACKAGES = check("audit", params={"packages": {}})


@pytest.mark.campaign
@pytest.mark.parametrize("packages", [{}, {"installed": {"argv": ["echo", "six==1.16.0"]}}])
def test_a_vulnerable_pin_is_caught_and_no_finding_is_kept_of_it(world: World, packages: dict[str, Any]) -> None:
    imported(entry("PYSEC-2021-9", "Django", events=[{"introduced": "0"}, {"fixed": "3.2.1"}]))
    with override_settings(OSV_URL=""):
        run = world.run(more={"audit": check("audit", params={"packages": packages})}, faults=["vulnerable-pin"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    assert row["named"] == "django 3.2"
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed")
    assert not Finding.objects.exists()


@pytest.mark.campaign
def test_a_vulnerable_pin_is_planted_where_the_plan_leaves_out_a_text_that_is_no_list(
    world: World, tmp_path: Path
) -> None:
    imported(entry("PYSEC-2021-9", "Django", events=[{"introduced": "0"}, {"fixed": "3.2.1"}]))
    files = {"requirements.txt": "six==1.16.0\n", "docs/requirements.txt": "Not a list.\n"}
    build = build_of(files, tmp_path, "app-1.0.tar")
    params = {"packages": {}, "source": {"exclude": ["docs/*"]}}
    with override_settings(OSV_URL=""):
        run = world.run(more={"audit": check("audit", params=params)}, faults=["vulnerable-pin"],
                        build=build.read_bytes(), build_name=build.name)  # fmt: skip
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"], row["named"]) == ("passed", "caught", "django 3.2"), (row, log_text(run))


GREEN = '<testsuite name="unit"><testcase name="buys"/></testsuite>'
UNIT = {"script": f"mkdir -p $GONOGO_WORK/reports; printf '%s' '{GREEN}' > $GONOGO_WORK/reports/unit.xml"}


def test_a_failing_test_is_caught_beside_the_plan_s_own(world: World) -> None:
    run = world.run(more={"unit": check("suite", params={"command": UNIT})}, faults=["failing-test"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    assert row["with"]["summary"] == "2 tests, 1 failed: gonogo.a_planted_test"


def test_a_failing_test_is_caught_also_where_the_plan_s_own_command_ends_badly(world: World) -> None:
    command = {"script": f"{UNIT['script']}; false"}
    run = world.run(more={"unit": check("suite", params={"command": command})}, faults=["failing-test"])
    (row,) = run.result["faults"]
    assert row["verdict"] == "caught", (row, log_text(run))
    assert (row["without"]["said"], row["with"]["said"]) == ("failed", "failed")


def test_tests_that_are_only_uploaded_have_nothing_planted_beside_them(world: World) -> None:
    run = world.run(more={"unit": check("suite")}, faults=["failing-test"])
    (row,) = run.result["faults"]
    assert (row["verdict"], "uploaded and not run" in row["why"]) == ("untested", True), row


LOAD = check("load", params={
    "steps": [3, 6], "hold": "30s", "settle": "1s", "think": "50ms", "limits": ["errors < 1%", "p95 < 900ms"],
})  # fmt: skip
CONSENT: dict[str, Any] = {
    "load": {
        "consent": {"staging": {"by": "Operations", "on": "2026-01-01", "at_most": 10}},
        "expected": {"requests_per_second": 900},
    }
}


@pytest.mark.campaign
def test_slowness_under_load_is_caught(world: World) -> None:
    run = world.run(more={"load": LOAD}, plan=CONSENT, faults=["slow-under-load"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    assert row["planted"] == "every answer takes 1.4 s longer"
    assert "p95 is 1," in row["with"]["summary"]


def test_a_load_whose_limits_let_slowness_pass_proves_nothing_of_it(world: World) -> None:
    lenient = check("load", params={"steps": [1], "limits": ["errors < 1%", "/shop: p95 < 1s"]})
    run = world.run(more={"load": lenient}, plan=CONSENT, faults=["slow-under-load"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("errored", "untested")
    assert "limits no latency of all addresses together, so it lets slowness pass" in row["why"]


def test_without_consent_no_load_is_made_to_prove_anything(world: World) -> None:
    elsewhere = check("load", environment="production", params={"steps": [1], "limits": ["p95 < 1s"]})
    consent = {"by": "Operations", "on": "2026-01-01", "at_most": 10, "production": True}
    run = world.run(more={"load": elsewhere}, plan={"load": {"consent": {"production": consent}}},
                    faults=["slow-under-load"])  # fmt: skip
    (row,) = run.result["faults"]
    assert (row["verdict"], "nobody consented to load on staging" in row["why"]) == ("untested", True), row


def test_the_page_says_which_checks_are_proven_and_which_are_not_and_why(world: World) -> None:
    more = {
        "unit": check("suite", params={"command": UNIT}),
        "smoke_again": check("smoke"),
        "audit": check("audit", params={"packages": {}, "headers": {}}),
        "kept": check("retention", environment="production"),
    }
    run = world.run(more=more, faults=["broken-page", "truncated-backup"])
    assert run.state == "passed", log_text(run)
    told = {(row["section"], row["look"]): (row["state"], row["why"]) for row in run.result["checks"]}
    assert told["checks.smoke", ""] == ("proven", "said no to: a page is broken")
    other = "not tested, because the faults of this kind were shown to another check of it: Smoke"
    assert told["checks.smoke_again", ""] == ("untried", other)
    assert told["checks.drill", ""] == ("untried", run.result["faults"][1]["why"])
    left_out = ("untried", "not tested, because this run's parameters leave its faults out")
    assert told["checks.unit", ""] == told["checks.audit", "Known vulnerabilities of packages"] == left_out
    assert told["checks.kept", ""] == told["checks.backup", ""] == left_out
    state, why = told["deploy", ""]
    assert (state, why.startswith("not tested, because it changes the environment itself")) == ("untried", True)
    planned = {f"checks.{key}" for key in ("same", "catalogue", "smoke", "migration", "backup", "drill", *more)}
    assert {row["section"] for row in run.result["checks"]} == {*planned, "deploy", "rollback"}
    shown = page(run)
    assert "Which checks of the plan are proven by this" in shown
    assert "Said no to: a page is broken" in shown
    assert shown.count("Not tested, because this run&#x27;s parameters leave its faults out") == 8
    said = "1 of 1 planted faults were caught; 1 not tested, each says why; that proves 1 of the plan's"
    assert run.summary.startswith(said)


def test_every_kind_has_a_fault_or_a_reason_why_it_has_none() -> None:
    planted = {fault.kind for fault in FAULTS}
    kinds = {kind.name for kind in all_kinds() if type(kind).__module__.startswith("checks.kinds.")}
    assert planted | set(NOT_PLANTED) == kinds - {"gate_test"}
    assert not planted & set(NOT_PLANTED)


@pytest.mark.parametrize("example", ["pretalx", "thinkincoin"])
def test_a_check_that_judges_nothing_is_told_with_its_reason(example: str) -> None:
    plan = parse((Path(settings.BASE_DIR) / "examples" / example / "plan.yaml").read_text())
    rows = {row["section"]: row for row in of_plan(plan, [], {})}
    assert rows["checks.settle"]["state"] == "untried"
    assert rows["checks.settle"]["why"].startswith("not tested, because it judges nothing, and removes what a way back")
    assert {"deploy", "rollback"} <= rows.keys()


def test_a_kind_that_the_plan_has_no_check_of_proves_nothing(world: World) -> None:
    run = world.run(faults=["failing-test"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("errored", "untested")
    assert row["why"] == "not tested, because the plan has no check of kind suite"


def test_a_check_that_always_says_yes_is_found_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"answers": [{"path": "/", "passed": True}]}
    monkeypatch.setattr(get_kind("smoke"), "run", lambda context: Outcome(True, "All is well.", result=result))
    run = world.run(faults=["slow-endpoint", "broken-page"])
    assert run.state == "failed"
    assert set(verdicts(run).values()) == {"missed"}
    assert "missed: an endpoint is slow, a page is broken" in run.summary
    (row,) = (row for row in run.result["checks"] if row["section"] == "checks.smoke")
    assert (row["state"], row["why"]) == ("missed", "did not say no to: an endpoint is slow, a page is broken")
    assert "Proves nothing" in page(run)


def test_an_address_with_a_query_is_spoiled_as_well(world: World) -> None:
    world.server.replies["/shop?page=2"] = Reply()
    asked = check("smoke", params={"requests": [{"path": "/shop?page=2", "within": "300ms"}]})
    run = world.run(more={"smoke": asked}, faults=["slow-endpoint", "broken-page"])
    assert set(verdicts(run).values()) == {"caught"}, (run.result["faults"], log_text(run))


@pytest.mark.campaign
def test_a_check_that_breaks_proves_nothing(world: World) -> None:
    world.server.replies["/"] = Reply(drop=True)
    run = world.run(faults=["slow-endpoint"])
    assert run.state == "errored"
    assert verdicts(run) == {"slow-endpoint": "unclear"}


def test_what_cannot_be_planted_says_why(world: World) -> None:
    world.server.replies["/"] = Reply()
    run = world.run(faults=["missing-header"])
    assert run.state == "errored"
    assert "sends no header of those that protect" in page(run)


@pytest.mark.parametrize(
    ("said", "wanted", "named"),
    [
        ("/", "/", True),
        ("/courses/", "/", False),
        ("/courses/list", "/courses", False),
        ("public.person", "public.person", True),
        ("public.person_old", "public.person", False),
        ("old.public.person", "public.person", False),
        ("public.person: 50 rows differ.", "public.person", True),
        ("In public.person.email 50 rows differ.", "public.person", False),
        ("Rows went from public.person.", "public.person", True),
    ],
)
def test_a_planted_thing_counts_as_named_by_its_whole_name_only(said: str, wanted: str, named: bool) -> None:
    assert names([said], wanted) is named


@pytest.mark.parametrize(
    ("said", "named", "verdict"),
    [
        ("failed", ["/: took 5.5 s, limit 5 s"], "caught"),
        ("failed", ["/: answered 404, expected 200"], "unclear"),
        ("failed", ["/courses/: took 5.5 s, limit 5 s"], "missed"),
        ("passed", [], "missed"),
        ("errored", ["/: took 5.5 s, limit 5 s"], "unclear"),
    ],
)
def test_a_place_that_is_wrong_for_another_reason_proves_nothing(said: str, named: list[str], verdict: str) -> None:
    planted = Planted("/ takes 5.5 s longer", "/", sign="limit 5 s")
    assert judging.verdict(planted, Seen("passed", "", []), Seen(said, "It broke.", named))["verdict"] == verdict


@pytest.mark.parametrize(
    ("clean", "said", "verdict"),
    [
        ("passed", "Storage gives back a/b.database otherwise than it was written.", "caught"),
        ("errored", "Storage gives back a/b.database otherwise than it was written.", "unclear"),
        ("passed", "The database of staging does not answer.", "unclear"),
        ("passed", "a/b.database could not be written: the disk is full.", "unclear"),
    ],
)
def test_a_check_that_says_no_by_breaking_off_has_to_name_the_fault_as_well(
    clean: str, said: str, verdict: str
) -> None:
    planted = Planted("an end is lost", "a/b.database", sign="otherwise than it was written", breaks=True)
    assert judging.verdict(planted, Seen(clean, "", []), Seen("errored", said, []))["verdict"] == verdict


def test_an_unknown_fault_is_refused_in_the_plan() -> None:
    with pytest.raises(ValueError, match="there is no fault 'earthquake'"):
        get_kind("gate_test").Params.model_validate({"faults": ["earthquake"]})
    assert "Nothing was planted" in page(Run(kind="gate_test", result={}))
