from django.urls import reverse

from thinkincoin.courses.models import Lesson, Progress
from thinkincoin.courses.progress import begin, finish, overview
from thinkincoin.tests.people import CatalogueTestCase


class ProgressTests(CatalogueTestCase):
    def test_opening_a_lesson_begins_it_once(self) -> None:
        self.client.force_login(self.learner)
        for _ in range(2):
            self.client.get(self.lesson.get_absolute_url())
        self.assertFalse(Progress.objects.get(user=self.learner, lesson=self.lesson).is_done)

    def test_a_stranger_is_asked_to_log_in(self) -> None:
        response = self.client.get(self.lesson.get_absolute_url())
        self.assertRedirects(response, f"{reverse('log_in')}?next={self.lesson.get_absolute_url()}")
        self.assertFalse(Progress.objects.exists())

    def test_right_answers_finish_a_lesson_with_full_marks(self) -> None:
        self.client.force_login(self.learner)
        response = self.client.post(self.lesson.get_absolute_url(), self.posted(self.right_answers(self.lesson)))
        self.assertContains(response, "Your best result: 2 of 2 right")
        self.assertTrue(Progress.objects.get().is_done)

    def test_answers_left_out_or_made_up_count_as_wrong(self) -> None:
        self.client.force_login(self.learner)
        first = self.lesson.questions.first()
        self.client.post(self.lesson.get_absolute_url(), {f"question-{first.pk}": "-1", "question-0": "1"})
        self.assertEqual(Progress.objects.get().right_answers, 0)

    def test_a_worse_second_try_keeps_the_better_result(self) -> None:
        finish(user=self.learner, lesson=self.lesson, answers=self.right_answers(self.lesson))
        finish(user=self.learner, lesson=self.lesson, answers={})
        self.assertEqual(Progress.objects.get().right_answers, 2)

    def test_the_overview_counts_what_is_done_and_names_what_comes_next(self) -> None:
        finish(user=self.learner, lesson=self.lesson, answers={})
        begin(user=self.learner, lesson=Lesson.objects.get(course=self.lesson.course, position=2))
        course = next(row for row in overview(user=self.learner) if row.course == self.lesson.course)
        self.assertEqual((course.done, course.total, course.percent), (1, 4, 25))
        self.assertEqual(course.next_lesson.position, 2)

    def test_my_progress_shows_only_what_was_begun(self) -> None:
        finish(user=self.learner, lesson=self.lesson, answers={})
        self.client.force_login(self.learner)
        response = self.client.get(reverse("my_progress"))
        self.assertContains(response, "1 of 4 lessons, 25 %")
        self.assertNotContains(response, "Risk without fear")
