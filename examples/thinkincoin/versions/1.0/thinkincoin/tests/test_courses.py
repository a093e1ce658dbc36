from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from thinkincoin.courses.catalogue import load_catalogue
from thinkincoin.courses.models import Course, Lesson, Question
from thinkincoin.tests.people import CatalogueTestCase


class CourseTests(CatalogueTestCase):
    def test_the_list_shows_every_course_with_its_length(self) -> None:
        response = self.client.get(reverse("course_list"))
        self.assertContains(response, "Cryptography for coins")
        self.assertContains(response, "Beginner · 4 lessons · 30 min")

    def test_the_list_takes_one_query_however_many_courses_there_are(self) -> None:
        with self.assertNumQueries(1):
            self.client.get(reverse("course_list"))

    def test_a_course_shows_its_authors_and_lessons(self) -> None:
        response = self.client.get(reverse("course_detail", args=["what-money-is"]))
        self.assertContains(response, "By Mara Lindqvist, Tobias Achterberg")
        self.assertContains(response, "Paper and promises")

    def test_a_course_that_is_not_published_yet_is_not_found(self) -> None:
        Course.objects.filter(slug="what-money-is").update(published_at=timezone.now() + timedelta(days=1))
        self.client.force_login(self.learner)
        for address in ("/courses/what-money-is/", "/courses/what-money-is/1/"):
            self.assertEqual(self.client.get(address).status_code, 404)
        self.assertNotContains(self.client.get(reverse("course_list")), "What money is")

    def test_loading_the_catalogue_again_changes_no_identity(self) -> None:
        before = set(Lesson.objects.values_list("pk", "course_id", "position"))
        load_catalogue()
        self.assertEqual(set(Lesson.objects.values_list("pk", "course_id", "position")), before)
        self.assertEqual(Question.objects.count(), 2 * len(before))

    def test_pages_forbid_scripts(self) -> None:
        policy = self.client.get(reverse("home")).headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("script-src", policy)
