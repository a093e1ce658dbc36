from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.urls import reverse

from thinkincoin.accounts.models import Preferences
from thinkincoin.courses.models import Author, Progress
from thinkincoin.courses.progress import finish, score_of
from thinkincoin.tests.people import CatalogueTestCase

FIRST = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)


class ScoreTests(CatalogueTestCase):
    def test_the_score_is_the_per_cent_of_right_answers(self) -> None:
        self.assertEqual([score_of(1, 2), score_of(2, 3), score_of(0, 4), score_of(0, 0)], [50, 67, 0, 100])

    def test_repeating_a_lesson_keeps_the_first_day_and_the_best_score(self) -> None:
        finish(user=self.learner, lesson=self.lesson, answers={}, at=FIRST)
        finish(user=self.learner, lesson=self.lesson, answers=self.right_answers(self.lesson), at=LATER)
        finish(user=self.learner, lesson=self.lesson, answers={}, at=LATER)
        row = Progress.objects.get()
        self.assertEqual((row.completed_at, row.score), (FIRST, 100))

    def test_my_progress_shows_score_and_day(self) -> None:
        finish(user=self.learner, lesson=self.lesson, answers=self.right_answers(self.lesson), at=FIRST)
        self.client.force_login(self.learner)
        response = self.client.get(reverse("my_progress"))
        self.assertContains(response, "mean score 100 %")
        self.assertContains(response, "5 Jan 2026")

    def test_the_database_refuses_a_completion_without_a_score(self) -> None:
        with self.assertRaises(IntegrityError):
            Progress.objects.create(
                user=self.learner, lesson=self.lesson, started_at=FIRST, updated_at=FIRST, completed_at=FIRST
            )

    def test_authors_of_several_courses_are_kept_once(self) -> None:
        self.assertEqual(Author.objects.get(name="Amina Okafor").courses.count(), 2)

    def test_a_reminder_needs_an_hour_of_the_clock(self) -> None:
        with self.assertRaisesMessage(ValidationError, "reminder_hour_is_of_the_clock"):
            Preferences(user=self.learner, reminder_hour=24).full_clean()
