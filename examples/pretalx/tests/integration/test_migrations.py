"""From 2024.3.1 to this release and back on a database with rows, as a release and its rollback do it."""

import datetime as dt
from typing import Any, ClassVar

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import SimpleTestCase

#: The newest migration of each application in 2024.3.1; of those that are not here, none came since.
OLD = [
    ("common", "0005_auto_20180202_1116"), ("event", "0036_alter_event_header_image_alter_event_logo"),
    ("mail", "0011_created_updated_everywhere"), ("person", "0029_alter_user_avatar_thumbnail_and_more"),
    ("submission", "0077_answeroption_position"), ("authtoken", "0004_alter_tokenproxy_options"),
]  # fmt: skip
DAY = dt.date(2026, 5, 4)
KEY = "a" * 40


class UpgradeTests(SimpleTestCase):
    """Taken back once, filled with rows of the old release, and brought forward; each test looks at what came of it."""

    databases: ClassVar[set[str]] = {"default"}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.addClassCleanup(call_command, "flush", verbosity=0, interactive=False)
        cls.newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
        cls.addClassCleanup(cls.migrate, cls.newest)
        cls.make_rows(cls.migrate(OLD))
        cls.new = cls.migrate(cls.newest)

    @classmethod
    def migrate(cls, targets: list[tuple[str, str]]) -> Any:
        executor = MigrationExecutor(connection)
        executor.migrate(targets)
        return MigrationExecutor(connection).loader.project_state(targets).apps

    @classmethod
    def make_rows(cls, apps: Any) -> None:
        def make(label: str, **values: Any) -> Any:
            return apps.get_model(label)._base_manager.create(**values)

        organiser = make("event.Organiser", name="Host", slug="host")
        event = make("event.Event", name="First", slug="first", organiser=organiser, date_from=DAY, date_to=DAY,
                     email="first@conference.test", is_public=True)  # fmt: skip
        template = make("mail.MailTemplate", event=event, subject="Accepted", text="Hooray")
        event.accept_template = template
        event.save()
        people = {name: make("person.User", email=f"{name}@conference.test", name=name, code=name[:6].upper())
                  for name in ("olga", "sven", "vera")}  # fmt: skip
        team = make("event.Team", organiser=organiser, name="Organisers", all_events=True)
        team.members.add(people["olga"])
        for name, key in (("olga", KEY), ("vera", "b" * 40)):
            make("authtoken.Token", user=people[name], key=key)
        kind = make("submission.SubmissionType", event=event, name="Talk")
        make("submission.Tag", event=event, tag="hardware", public=True)
        kinds = apps.get_model("contenttypes.ContentType").objects
        content_type, _ = kinds.get_or_create(app_label="submission", model="submission")
        for code, state in (("TALK01", "confirmed"), ("DRAFT1", "draft")):
            talk = make("submission.Submission", event=event, submission_type=kind, code=code, title=code, state=state)
            talk.speakers.add(people["sven"])
            make("common.ActivityLog", event=event, person=people["sven"], content_type=content_type,
                 object_id=talk.pk, action_type="pretalx.submission.create")  # fmt: skip

    def rows(self, label: str) -> Any:
        return self.new.get_model(label)._base_manager.all()

    def test_every_speaker_still_gives_the_talk(self) -> None:
        found = self.rows("submission.SpeakerRole").values_list("submission__code", "user__name").order_by("pk")
        self.assertEqual(list(found), [("TALK01", "sven"), ("DRAFT1", "sven")])

    def test_the_token_of_an_organiser_is_kept_for_reading_their_events(self) -> None:
        token = self.rows("person.UserApiToken").get()
        self.assertEqual((token.token, token.user.name, token.version), (KEY, "olga", "LEGACY"))
        self.assertEqual([each.slug for each in token.events.all()], ["first"])
        self.assertEqual(token.endpoints["submissions"], ["list", "retrieve"])
        self.assertNotIn("teams", token.endpoints)

    def test_a_token_of_somebody_without_a_team_is_no_new_one(self) -> None:
        self.assertFalse(self.rows("person.UserApiToken").filter(user__name="vera").exists())

    def test_the_mail_of_acceptance_is_known_by_its_role(self) -> None:
        template = self.rows("mail.MailTemplate").get()
        self.assertEqual((template.role, str(template.subject)), ("submission.state.accepted", "Accepted"))

    def test_logs_of_drafts_are_gone_and_the_others_stay(self) -> None:
        talks = dict(self.rows("submission.Submission").values_list("pk", "code"))
        found = self.rows("common.ActivityLog").filter(action_type="pretalx.submission.create")
        self.assertEqual([talks[each.object_id] for each in found], ["TALK01"])

    def test_a_public_tag_stays_public(self) -> None:
        self.assertEqual(list(self.rows("submission.Tag").values_list("tag", "is_public")), [("hardware", True)])
