"""The evidence pack: complete, and checkable without this program."""

import hashlib
import io
import json
import zipfile

import pytest
from django.core.files.storage import default_storage
from django.urls import reverse

from releases.domain import evidence, pack
from releases.domain.case import judge_case
from releases.models import LedgerEntry, Release, Vote
from tests.domain.test_attest import LINK, attest
from tests.domain.test_judge_case import PLAN, PNG
from tests.factories import Team, make_application, make_approved, make_release, make_team, run_in_source
from tests.pages.test_open_pages import browser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage_folder")]


def test_every_file_has_the_digest_that_the_pack_names(release: Release, team: Team) -> None:
    evidence.sign_off(
        item=release.items.get(key="security.review"),
        author=team.engineer,
        statement="See notes.",
        attachment=("notes.txt", io.BytesIO(b"all good")),
    )
    make_approved(release, team)
    with pack.build(release, actor=team.auditor) as opened, zipfile.ZipFile(opened) as inside:
        files = {name: inside.read(name) for name in inside.namelist()}
    sums = dict(reversed(line.split("  ", 1)) for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert {"release.json", "plan.yaml", "checklist.json", "evidence.json", "risks.json", "ledger.zip"} <= set(files)
    assert b"all good" in files.values()
    votes = json.loads(files["votes.json"])
    assert len(votes) == Vote.objects.count() == 3
    for vote in votes:
        assert hashlib.sha256(files[f"manifests/{vote['manifest']}.json"]).hexdigest() == vote["manifest"]
    about = json.loads(files["release.json"])
    assert about["gate"]["verdict"] == "go"
    assert about["build"]["sha256"] == release.build_digest
    assert zipfile.ZipFile(io.BytesIO(files["ledger.zip"])).testzip() is None


def test_it_tells_which_files_were_changed_or_lost_since_they_were_signed(release: Release, team: Team) -> None:
    kept = attest(release, team, attachment=("kept.txt", io.BytesIO(b"as it was")))
    changed = attest(release, team, attachment=("changed.txt", io.BytesIO(b"as it was")))
    lost = attest(release, team, attachment=("lost.txt", io.BytesIO(b"as it was")), link=LINK, link_note="Page 3.")
    with open(default_storage.path(changed.artifacts[0]["key"]), "wb") as file:  # noqa: PTH123 - the storage's path
        file.write(b"as it is now")
    default_storage.delete(lost.artifacts[0]["key"])
    with pack.build(release, actor=team.auditor) as opened, zipfile.ZipFile(opened) as inside:
        stood = {row["file"]: row["state"] for row in json.loads(inside.read("attachments.json"))}
        newest = json.loads(inside.read("evidence.json"))[0]
        item = next(each for each in json.loads(inside.read("checklist.json")) if each["key"] == "security.at_rest")
        sums = inside.read("SHA256SUMS").decode()
    assert stood == {
        f"attachments/{kept.pk}/kept.txt": "as signed",
        f"attachments/{changed.pk}/changed.txt": "changed since it was signed",
        f"attachments/{lost.pk}/lost.txt": "missing from the storage",
    }
    assert (newest["link"], newest["link_note"], newest["id"]) == (LINK, "Page 3.", str(lost.pk))
    assert (item["attested"], item["evidence"], item["state"]) == (True, str(lost.pk), "passed")
    assert "kept.txt" in sums
    assert "lost.txt" not in sums


def test_it_has_each_verdict_on_a_case_and_its_picture(storage_folder: object) -> None:
    application = make_application(plan=PLAN)
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    run_in_source(release)
    sent, lost = (
        judge_case(
            release=release, key=key, verdict="passed", tester=team.engineer, screenshot=(f"{key}.png", io.BytesIO(PNG))
        )
        for key in ("join", "leave")
    )
    judge_case(release=release, key="leave", verdict="failed", note="The button is gone.", tester=team.engineer)
    default_storage.delete(lost.screenshot["key"])
    with pack.build(release, actor=team.auditor) as opened, zipfile.ZipFile(opened) as inside:
        told = json.loads(inside.read("cases.json"))
        picture = inside.read(f"screenshots/{sent.pk}/{sent.screenshot['name']}")
    assert picture == PNG
    assert [(each["case"], each["verdict"], each["note"]) for each in told] == [
        ("leave", "failed", "The button is gone."), ("leave", "passed", ""), ("join", "passed", ""),
    ]  # fmt: skip
    assert [(each["screenshot"] or {}).get("state") for each in told] == [None, "missing from the storage", "as sent"]
    assert told[2]["screenshot"]["sha256"] == hashlib.sha256(PNG).hexdigest()


def test_whoever_downloads_it_is_in_the_ledger_and_reading_writes_nothing(release: Release, team: Team) -> None:
    client = browser(team.auditor)
    address = reverse("releases:pack", args=[release.pk])
    before = LedgerEntry.objects.count()
    assert client.get(address).status_code == 405
    assert LedgerEntry.objects.count() == before
    answer = client.post(address)
    assert b"".join(answer.streaming_content)[:2] == b"PK"  # type: ignore[attr-defined]
    newest = LedgerEntry.objects.order_by("-id").first()
    assert newest is not None
    assert (newest.action, newest.actor) == ("ledger.exported", team.auditor)
    board = client.get(reverse("releases:release", args=[release.pk])).content.decode()
    assert f'<form method="post" action="{address}">' in board
