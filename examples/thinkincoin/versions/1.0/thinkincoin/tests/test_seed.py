import os
from io import StringIO
from unittest import mock

from django.contrib.auth import authenticate
from django.core.management import call_command
from django.test import TestCase

from thinkincoin.accounts.models import Preferences, User
from thinkincoin.courses.models import Progress
from thinkincoin.tests.people import PASSWORD, make_learner


class SeedTests(TestCase):
    def seed(self, **options: object) -> None:
        call_command("seed", stdout=StringIO(), **options)

    def snapshot(self) -> list[tuple[object, ...]]:
        fields = ("user__email", "user__display_name", "lesson__title", "right_answers", "started_at")
        return sorted(Progress.objects.values_list(*fields))

    def test_the_same_number_gives_the_same_data(self) -> None:
        self.seed(users=12, number=3)
        first = self.snapshot()
        self.assertGreater(len(first), 10)
        User.objects.all().delete()
        self.seed(users=12, number=3)
        self.assertEqual(self.snapshot(), first)

    def test_another_number_gives_other_people(self) -> None:
        self.seed(users=12, number=3)
        names = set(User.objects.values_list("email", flat=True))
        self.seed(users=12, number=4)
        self.assertGreater(set(User.objects.values_list("email", flat=True)), names)

    def test_a_second_time_makes_nobody_twice(self) -> None:
        for _ in range(2):
            self.seed(users=12)
        self.assertEqual(User.objects.count(), 12)
        self.assertGreater(Preferences.objects.count(), 0)

    def test_nobody_made_by_number_can_log_in(self) -> None:
        self.seed(users=1)
        self.assertFalse(User.objects.get().has_usable_password())

    def test_one_learner_logs_in_with_the_password_given(self) -> None:
        with mock.patch.dict(os.environ, {"SEED_PASSWORD": PASSWORD}):
            self.seed(users=0, learner="robin@learners.example")
        self.assertIsNotNone(authenticate(username="robin@learners.example", password=PASSWORD))

    def test_people_who_are_there_are_left_alone(self) -> None:
        learner = make_learner()
        self.seed(users=3)
        self.assertFalse(Progress.objects.filter(user=learner).exists())
