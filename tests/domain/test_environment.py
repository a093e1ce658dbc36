"""Secrets, and what runs where."""

import pytest
from cryptography.fernet import Fernet
from django.db import transaction

from releases.domain import deploy as deploys
from releases.domain import environment as environments
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Application, LedgerEntry, Release, Secret
from tests.factories import Team, make_approved

pytestmark = pytest.mark.django_db
DIGEST = "ab" * 32


def test_a_secret_is_kept_encrypted_and_comes_back(application: Application, team: Team) -> None:
    environments.set_secret(application=application, name="database", value="postgresql://ü:p@h/d", actor=team.manager)
    stored = Secret.objects.get()
    assert b"postgresql" not in bytes(stored.ciphertext)
    assert environments.secret_value(application=application, name="database") == "postgresql://ü:p@h/d"
    entry = LedgerEntry.objects.get(action="secret.set")
    assert entry.document == {"name": "database", "replaced": False}


def test_a_secret_survives_a_change_of_keys_while_the_old_key_is_kept(
    application: Application, team: Team, settings: object
) -> None:
    environments.set_secret(application=application, name="token", value="s3cr3t!", actor=team.manager)
    fresh = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [fresh, *settings.FIELD_ENCRYPTION_KEYS]
    assert environments.secret_value(application=application, name="token") == "s3cr3t!"
    settings.FIELD_ENCRYPTION_KEYS = [fresh]
    with pytest.raises(DomainError, match="encrypted with a key that is not in FIELD_ENCRYPTION_KEYS"):
        environments.secret_value(application=application, name="token")


def test_a_short_secret_is_refused_because_it_cannot_be_masked(application: Application, team: Team) -> None:
    with pytest.raises(DomainError, match="at least 6 characters"):
        environments.set_secret(application=application, name="pin", value="12345", actor=team.manager)


def test_a_missing_secret_is_named(application: Application) -> None:
    with pytest.raises(DomainError, match="has no secret called 'nothing'"):
        environments.secret_value(application=application, name="nothing")


def test_only_managers_and_administrators_set_secrets(application: Application, team: Team) -> None:
    for person in (team.viewer, team.auditor, team.engineer, team.approvers["security"]):
        with pytest.raises(NotAllowed):
            environments.set_secret(application=application, name="token", value="s3cr3t!", actor=person)
    environments.set_secret(application=application, name="token", value="s3cr3t!", actor=team.administrator)


def test_a_person_attests_what_runs_already(application: Application, team: Team, release: Release) -> None:
    production = application.environments.get(name="production")
    environments.adopt_build(
        environment=production, version="1.0", build_digest=DIGEST, actor=team.manager, reason="Hashed on the server."
    )
    production.refresh_from_db()
    assert (production.current_version, production.current_build_digest) == ("1.0", DIGEST)
    assert production.current_release is None
    entry = LedgerEntry.objects.get(action="environment.build_adopted")
    assert entry.document["reason"] == "Hashed on the server."
    staging = application.environments.get(name="staging")
    environments.adopt_build(
        environment=staging,
        version=release.version,
        build_digest=release.build_digest,
        actor=team.engineer,
        reason="Installed it.",
    )
    assert staging.current_release == release


def test_production_is_attested_by_a_release_manager_only(application: Application, team: Team) -> None:
    production = application.environments.get(name="production")
    for person in (team.viewer, team.auditor, team.engineer, team.administrator, team.approvers["security"]):
        with pytest.raises(NotAllowed):
            environments.adopt_build(
                environment=production, version="1.0", build_digest=DIGEST, actor=person, reason="Saw it."
            )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"build_digest": "AB" * 32}, "64 hexadecimal digits"),
        ({"build_digest": "short"}, "64 hexadecimal digits"),
        ({"version": " "}, "Name the version"),
        ({"reason": ""}, "Say how you know"),
    ],
)
def test_it_refuses_an_attestation_that_says_nothing(
    application: Application, team: Team, changes: dict[str, str], sentence: str
) -> None:
    facts = {"version": "1.0", "build_digest": DIGEST, "reason": "Saw it.", **changes}
    with pytest.raises(DomainError, match=sentence):
        environments.adopt_build(
            environment=application.environments.get(name="production"), actor=team.manager, **facts
        )


def test_while_a_release_is_being_deployed_no_person_says_what_runs_there(
    application: Application, team: Team, release: Release
) -> None:
    release = make_approved(release, team)
    with transaction.atomic():
        deploys.authorise_deploy(release=release, actor=team.manager)
    facts = {"version": "1.0", "build_digest": DIGEST, "actor": team.manager, "reason": "Saw it."}
    place = release.target_environment
    with pytest.raises(StateChanged, match="is being deployed in production, so nobody can say"):
        environments.adopt_build(environment=place, **facts)
    place.refresh_from_db()
    assert place.current_build_digest == ""
    assert not LedgerEntry.objects.filter(action="environment.build_adopted").exists()
    deploys.deploy_failed(release=release, reason="A step stopped.")
    assert environments.adopt_build(environment=place, **facts).current_version == "1.0"


def test_while_a_deploy_touches_it_nobody_can_say_what_runs_there(application: Application, release: Release) -> None:
    place = application.environments.get(name="production")
    environments.build_running(environment=place, release=None, version="1.0", build_digest=DIGEST, run_number=1)
    environments.build_changing(environment=place, run_number=2)
    place.refresh_from_db()
    assert (place.current_version, place.current_build_digest, place.current_since) == ("", "", None)
    environments.build_running(
        environment=place,
        release=release,
        version=release.version,
        build_digest=release.build_digest,
        run_number=2,
    )
    place.refresh_from_db()
    assert (place.current_release, place.current_build_digest) == (release, release.build_digest)
    entry = LedgerEntry.objects.filter(action="environment.build_changing").latest("id")
    assert entry.document["before"] == {"version": "1.0", "build_digest": DIGEST}
