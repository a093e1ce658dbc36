from django.http import HttpResponse
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone

from thinkincoin.accounts.models import WrongPassword
from thinkincoin.tests.people import PASSWORD, make_learner

LIMIT = "There were too many wrong passwords"


class LogInLimitTests(TestCase):
    def setUp(self) -> None:
        make_learner()

    def log_in(self, name: str, password: str) -> HttpResponse:
        return self.client.post(reverse("log_in"), {"username": name, "password": password})

    def guess(self, name: str) -> None:
        for _ in range(WrongPassword.MOST):
            self.assertNotContains(self.log_in(name, "guess"), LIMIT)

    def test_after_too_many_wrong_passwords_the_right_one_is_refused_as_well(self) -> None:
        self.guess("nia@learners.example")
        self.assertContains(self.log_in("NIA@learners.example", PASSWORD), LIMIT)

    def test_a_name_that_nobody_has_is_answered_the_same(self) -> None:
        self.guess("nobody@learners.example")
        self.assertContains(self.log_in("nobody@learners.example", "guess"), LIMIT)

    def test_others_log_in_meanwhile(self) -> None:
        self.guess("nobody@learners.example")
        self.assertRedirects(self.log_in("nia@learners.example", PASSWORD), reverse("my_progress"))

    def test_it_ends_after_a_while_and_old_ones_are_not_kept(self) -> None:
        self.guess("nia@learners.example")
        WrongPassword.objects.update(at=timezone.now() - WrongPassword.COUNTED_FOR)
        self.assertNotContains(self.log_in("nia@learners.example", "guess"), LIMIT)
        self.assertEqual(WrongPassword.objects.count(), 1)

    def test_the_right_password_takes_them_back(self) -> None:
        self.log_in("nia@learners.example", "guess")
        self.log_in("nia@learners.example", PASSWORD)
        self.assertFalse(WrongPassword.objects.exists())
