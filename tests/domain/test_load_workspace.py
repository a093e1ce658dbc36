"""The default workspace: one person for each role, passwords made once, safe to run at each start."""

import io
import json
import stat
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from checks.publishing import publish
from releases.domain.membership import remove_member
from releases.models import Application, Membership, PlanVersion, User
from tests.factories import MINIMAL_PLAN

pytestmark = pytest.mark.django_db


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    folder = tmp_path / "examples"
    (folder / "pretalx").mkdir(parents=True)
    (folder / "pretalx" / "plan.yaml").write_text(json.dumps({**MINIMAL_PLAN, "application": "pretalx"}))
    return folder


def load(tmp_path: Path, examples: Path) -> str:
    errors = io.StringIO()
    call_command("load_workspace", passwords_file=tmp_path / "passwords.json", examples=examples, stderr=errors)
    return errors.getvalue()


def test_it_makes_one_person_for_each_role_with_a_password_of_their_own(tmp_path: Path, examples: Path) -> None:
    assert load(tmp_path, examples) == ""
    file = tmp_path / "passwords.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    passwords = json.loads(file.read_text())
    assert len(set(passwords.values())) == len(passwords) == 8
    for email, password in passwords.items():
        assert email.endswith("@gonogo.example")
        assert User.objects.get(email=email).check_password(password)
    held = Membership.objects.filter(application__slug="pretalx").values_list("role", "station")
    assert sorted(held) == [
        ("administrator", ""),
        ("approver", "engineering"),
        ("approver", "release-management"),
        ("approver", "security"),
        ("auditor", ""),
        ("engineer", ""),
        ("release_manager", ""),
        ("viewer", ""),
    ]
    application = Application.objects.get(slug="pretalx")
    assert application.plan_folder == str(examples / "pretalx")
    assert not User.objects.filter(is_superuser=True).exists()
    assert not Application.objects.filter(slug="thinkincoin").exists()


def test_a_second_start_changes_nothing(tmp_path: Path, examples: Path) -> None:
    load(tmp_path, examples)
    before = (tmp_path / "passwords.json").read_bytes()
    counts = [model.objects.count() for model in (User, Membership, PlanVersion)]
    load(tmp_path, examples)
    assert (tmp_path / "passwords.json").read_bytes() == before
    assert [model.objects.count() for model in (User, Membership, PlanVersion)] == counts


def test_a_plan_that_a_person_published_is_not_undone_by_the_next_start(tmp_path: Path, examples: Path) -> None:
    load(tmp_path, examples)
    manager = User.objects.get(email="manager@gonogo.example")
    text = json.dumps({**MINIMAL_PLAN, "application": "pretalx", "title": "Published on its page"})
    published = publish(application=Application.objects.get(slug="pretalx"), text=text, author=manager)
    assert load(tmp_path, examples) == ""
    assert Application.objects.get(slug="pretalx").current_plan == published


def test_a_role_that_was_taken_away_is_not_given_again_by_the_next_start(tmp_path: Path, examples: Path) -> None:
    load(tmp_path, examples)
    administrator = User.objects.get(email="administrator@gonogo.example")
    remove_member(membership=Membership.objects.get(user__email="viewer@gonogo.example"), actor=administrator)
    load(tmp_path, examples)
    assert not Membership.objects.filter(user__email="viewer@gonogo.example").exists()


def test_a_plan_folder_that_a_person_chose_stays_until_it_is_gone(tmp_path: Path, examples: Path) -> None:
    load(tmp_path, examples)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Application.objects.update(plan_folder=str(elsewhere))
    load(tmp_path, examples)
    assert Application.objects.get().plan_folder == str(elsewhere)
    elsewhere.rmdir()
    load(tmp_path, examples)
    assert Application.objects.get().plan_folder == str(examples / "pretalx")


def test_a_password_that_a_person_changed_is_left_alone(tmp_path: Path, examples: Path) -> None:
    load(tmp_path, examples)
    viewer = User.objects.get(email="viewer@gonogo.example")
    viewer.set_password("my own password")
    viewer.save()
    (tmp_path / "passwords.json").unlink()
    load(tmp_path, examples)
    viewer.refresh_from_db()
    assert viewer.check_password("my own password")


def test_an_edited_plan_becomes_a_new_version_and_a_broken_one_is_told_and_left(tmp_path: Path, examples: Path) -> None:
    load(tmp_path, examples)
    plan = examples / "pretalx" / "plan.yaml"
    plan.write_text(json.dumps({**MINIMAL_PLAN, "application": "pretalx", "title": "Another title"}))
    assert load(tmp_path, examples) == ""
    assert PlanVersion.objects.count() == 2
    plan.write_text("application: pretalx\nenvironments: 7\n")
    told = load(tmp_path, examples)
    assert "is not a valid plan and was not published" in told
    assert "line 2, column 1: environments" in told
    assert PlanVersion.objects.count() == 2


def test_an_unreadable_password_file_is_named(tmp_path: Path, examples: Path) -> None:
    (tmp_path / "passwords.json").write_text("{broken")
    with pytest.raises(CommandError, match=r"passwords\.json cannot be read"):
        load(tmp_path, examples)
