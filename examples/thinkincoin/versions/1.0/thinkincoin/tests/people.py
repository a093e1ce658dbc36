"""What the tests need: a learner, and the catalogue in the database."""

from django.test import TestCase

from thinkincoin.accounts.models import User
from thinkincoin.courses.catalogue import load_catalogue
from thinkincoin.courses.models import Lesson

PASSWORD = "a long enough secret"


def make_learner(name: str = "Nia Falk") -> User:
    return User.objects.create_user(f"{name.split()[0].lower()}@learners.example", PASSWORD, display_name=name)


class CatalogueTestCase(TestCase):
    """Tests that begin with all courses and one learner."""

    @classmethod
    def setUpTestData(cls) -> None:
        load_catalogue()
        cls.learner = make_learner()
        cls.lesson = Lesson.objects.select_related("course").get(course__slug="what-money-is", position=1)

    def right_answers(self, lesson: Lesson) -> dict[int, int]:
        return {question.pk: question.answer for question in lesson.questions.all()}

    def posted(self, answers: dict[int, int]) -> dict[str, str]:
        return {f"question-{key}": str(value) for key, value in answers.items()}
