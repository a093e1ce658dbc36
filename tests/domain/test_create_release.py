"""A new release: exactly one build, its digest, its checklist and its risks."""

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from releases.domain import application as applications
from releases.domain import release as releases
from releases.enums import ReleaseState, Requirement, Role, Tier
from releases.errors import DomainError, NotAllowed
from releases.models import Application, Environment, LedgerEntry, Release
from tests.domain.racing import race
from tests.factories import ApplicationFactory, Team

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]


def create(application: Application, team: Team, **changes: Any) -> Release:
    places = {place.name: place for place in application.environments.all()}
    facts: dict[str, Any] = {
        "application": application,
        "version": "1.1",
        "build_name": "example-1.1.whl",
        "build_file": io.BytesIO(b"a build"),
        "source_environment": places["staging"],
        "target_environment": places["production"],
        "requester": team.engineer,
    }
    return releases.create_release(**{**facts, **changes})


def test_it_keeps_the_artifact_under_its_own_digest(application: Application, team: Team) -> None:
    data = b"0123456789" * 400_000
    release = create(application, team, build_file=io.BytesIO(data))
    assert release.state == ReleaseState.DRAFT
    assert release.build_digest == hashlib.sha256(data).hexdigest()
    assert (release.build_key, release.build_size) == (f"builds/{release.build_digest}", len(data))
    with default_storage.open(release.build_key) as stored:
        assert stored.read() == data
    entry = LedgerEntry.objects.get(action="release.created", release_id=release.pk)
    assert entry.document["build"]["digest"] == release.build_digest


def test_it_reads_a_stream_that_cannot_go_back(application: Application, team: Team, tmp_path: Path) -> None:
    class Stream(io.RawIOBase):
        left = [b"ab", b"cd", b""]

        def read(self, size: int = -1) -> bytes:
            return self.left.pop(0)

    release = create(application, team, build_file=Stream())
    assert release.build_digest == hashlib.sha256(b"abcd").hexdigest()


def test_the_checklist_covers_the_six_requirements_and_names_its_runs(application: Application, team: Team) -> None:
    items = {item.key: item for item in create(application, team).items.select_related("environment")}
    assert {item.requirement for item in items.values()} == set(Requirement.values)
    assert items["testing.unit"].section == "checks.unit"
    assert items["recovery.backup"].section == "checks.backup"
    assert items["recovery.backup"].environment.name == "production"
    assert (items["recovery.rollback"].section, items["recovery.rollback"].environment.name) == ("rollback", "staging")
    assert items["monitoring.alert"].receipt == "test-alert"
    assert (items["testing.acceptance"].section, items["testing.acceptance"].receipt) == ("", "")
    assert all(item.blocking for item in items.values())


def test_the_register_holds_the_seven_risks_tied_to_items_that_exist(application: Application, team: Team) -> None:
    release = create(application, team)
    keys = set(release.items.values_list("key", flat=True))
    assert release.risks.count() == 7
    for risk in release.risks.all():
        assert risk.mitigations, risk.key
        assert {key for each in risk.mitigations for key in each["items"]} <= keys


def test_a_build_stored_before_is_read_again_and_a_damaged_one_refused(application: Application, team: Team) -> None:
    first = create(application, team)
    create(application, team, version="1.2")
    default_storage.delete(first.build_key)
    default_storage.save(first.build_key, ContentFile(b"something else"))
    with pytest.raises(DomainError, match="Storage gave back other bytes"):
        create(application, team, version="1.3")
    assert not Release.objects.filter(version="1.3").exists()


def test_it_refuses_an_empty_build(application: Application, team: Team) -> None:
    with pytest.raises(DomainError, match="The build is an empty file"):
        create(application, team, build_file=io.BytesIO())


def test_it_refuses_storage_that_cannot_be_written(application: Application, team: Team, storage_folder: Path) -> None:
    storage_folder.mkdir(exist_ok=True)
    (storage_folder / "builds").write_text("a file where a folder must be")
    with pytest.raises(DomainError, match=r"The build could not be stored: .* No release was made; mend the storage"):
        create(application, team)
    assert not Release.objects.exists()


def test_it_refuses_everybody_but_engineers_and_release_managers(application: Application, team: Team) -> None:
    for person in (team.viewer, team.auditor, team.administrator, *team.approvers.values()):
        with pytest.raises(NotAllowed, match="role engineer or release manager"):
            create(application, team, requester=person)
    create(application, team, requester=team.manager)


@pytest.mark.parametrize("version", ["", "-1", "1 0", "../etc", "1/2", "x" * 101, "1.0\n"])
def test_it_refuses_a_version_that_could_be_a_path_or_an_option(
    application: Application, team: Team, version: str
) -> None:
    with pytest.raises(DomainError, match="A version begins with a letter or digit"):
        create(application, team, version=version)


def test_it_refuses_a_version_twice_unless_the_first_was_cancelled(application: Application, team: Team) -> None:
    first = create(application, team)
    with pytest.raises(DomainError, match=r"There is a release 1\.1 of"):
        create(application, team)
    releases.cancel(release=first, actor=team.engineer, reason="Wrong build.")
    create(application, team)


@pytest.mark.django_db(transaction=True)
def test_of_many_of_one_version_at_once_one_is_made(application: Application, team: Team) -> None:
    results = race(lambda number: create(application, team), times=8)
    assert sum(isinstance(result, Release) for result in results) == 1
    assert all(isinstance(each, Release | DomainError) for each in results), results


def test_it_refuses_environments_of_another_application_and_the_way_back(application: Application, team: Team) -> None:
    places = {place.name: place for place in application.environments.all()}
    foreign = ApplicationFactory().environments.get(name="production")
    with pytest.raises(DomainError, match="must belong to"):
        create(application, team, target_environment=foreign)
    with pytest.raises(DomainError, match="to another one"):
        create(application, team, target_environment=places["staging"])
    with pytest.raises(DomainError, match="does not go from production to staging"):
        create(application, team, source_environment=places["production"], target_environment=places["staging"])


def test_what_an_interrupted_upload_left_is_replaced(application: Application, team: Team) -> None:
    digest = hashlib.sha256(b"a build").hexdigest()
    default_storage.save(f"builds/{digest}", ContentFile(b"a bu"))
    release = create(application, team)
    with default_storage.open(release.build_key) as stored:
        assert stored.read() == b"a build"


def test_it_refuses_an_application_without_a_plan(team: Team) -> None:
    bare = applications.create_application(slug="bare", name="Bare", actor=None)
    applications.add_member(application=bare, user=team.engineer, role=Role.ENGINEER, actor=None)
    for name, tier in (("staging", Tier.STAGING), ("production", Tier.PRODUCTION)):
        Environment.objects.create(application=bare, name=name, tier=tier)
    with pytest.raises(DomainError, match="has no plan yet"):
        create(bare, team)
