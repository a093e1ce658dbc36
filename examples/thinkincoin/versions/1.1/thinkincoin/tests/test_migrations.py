"""From 1.0 to 1.1 and back on a database with rows, as a release and its rollback do it."""

from datetime import UTC, datetime

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import TransactionTestCase

OLD = [("accounts", "0001_initial"), ("courses", "0001_initial")]
NEW = [("accounts", "0005_wrong_passwords"), ("courses", "0007_remove_course_byline")]
AT = datetime(2025, 11, 3, 9, 30, tzinfo=UTC)


class UpgradeTests(TransactionTestCase):
    def migrate(self, targets: list[tuple[str, str]]):
        executor = MigrationExecutor(connection)
        executor.migrate(targets)
        return MigrationExecutor(connection).loader.project_state(targets).apps

    def setUp(self) -> None:
        self.old = self.migrate(OLD)
        self.addCleanup(self.migrate, NEW)
        user = self.old.get_model("accounts", "User").objects.create(email="nia@learners.example", display_name="Nia")
        self.old.get_model("accounts", "Preferences").objects.create(user=user, theme="dark", news=True)
        course = self.old.get_model("courses", "Course").objects.create(
            slug="coins",
            title="Coins",
            summary="",
            byline="Mara Lindqvist, Amina Okafor",
            level="beginner",
            published_at=AT,
        )
        for position, (state, right) in enumerate([("done", 1), ("started", 0)], start=1):
            lesson = course.lessons.create(position=position, title=f"Lesson {position}", body="", minutes=5)
            for number in (1, 2):
                lesson.questions.create(position=number, text="?", options=["a", "b"], answer=0)
            lesson.progress.create(user=user, state=state, right_answers=right, started_at=AT, updated_at=AT)

    def test_done_lessons_are_complete_with_their_score(self) -> None:
        new = self.migrate(NEW)
        rows = new.get_model("courses", "Progress").objects.order_by("lesson__position")
        self.assertEqual(list(rows.values_list("completed_at", "score")), [(AT, 50), (None, None)])

    def test_bylines_become_authors_in_their_order(self) -> None:
        new = self.migrate(NEW)
        rows = new.get_model("courses", "Authorship").objects.order_by("position")
        self.assertEqual(list(rows.values_list("author__name", flat=True)), ["Mara Lindqvist", "Amina Okafor"])

    def test_news_become_a_weekly_digest(self) -> None:
        new = self.migrate(NEW)
        row = new.get_model("accounts", "Preferences").objects.get()
        self.assertEqual((row.digest, row.theme, row.reminder_hour), ("weekly", "dark", None))

    def test_going_back_brings_everything_back(self) -> None:
        before = self.everything(self.old)
        self.migrate(NEW)
        self.assertEqual(self.everything(self.migrate(OLD)), before)

    def everything(self, apps) -> dict[str, list[tuple[object, ...]]]:
        fields = {
            ("accounts", "Preferences"): ("theme", "language", "news"),
            ("courses", "Course"): ("slug", "byline"),
            ("courses", "Progress"): ("lesson__position", "state", "right_answers", "started_at", "updated_at"),
        }
        return {
            name: sorted(apps.get_model(app, name).objects.values_list(*names)) for (app, name), names in fields.items()
        }
