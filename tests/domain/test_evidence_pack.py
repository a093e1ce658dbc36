"""The evidence pack: complete, and checkable without this program."""

import hashlib
import io
import json
import zipfile

import pytest

from releases.domain import evidence, pack
from releases.models import Release, Vote
from tests.factories import Team, make_approved

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
