from django.contrib.auth import authenticate
from django.db import IntegrityError
from django.test import TestCase
from django.urls import reverse

from thinkincoin.accounts.forms import PreferencesForm
from thinkincoin.accounts.models import Preferences, User
from thinkincoin.tests.people import PASSWORD, make_learner


class SignUpTests(TestCase):
    def sign_up(self, email: str) -> None:
        fields = {"email": email, "display_name": "Ida", "password1": PASSWORD, "password2": PASSWORD}
        self.response = self.client.post(reverse("sign_up"), fields)

    def test_it_makes_an_account_and_logs_in(self) -> None:
        self.sign_up("ida@learners.example")
        self.assertRedirects(self.response, reverse("course_list"))
        self.assertEqual(self.client.get(reverse("my_progress")).status_code, 200)

    def test_it_refuses_an_address_that_differs_only_in_case(self) -> None:
        make_learner("Ida Berg")
        self.sign_up("IDA@learners.example")
        self.assertContains(self.response, "There is an account with this address already.")
        self.assertEqual(User.objects.count(), 1)

    def test_the_database_refuses_the_same_address_too(self) -> None:
        make_learner("Ida Berg")
        with self.assertRaises(IntegrityError):
            User.objects.create_user("Ida@learners.example", PASSWORD, display_name="Another")

    def test_it_keeps_the_password_only_as_a_hash(self) -> None:
        self.sign_up("ida@learners.example")
        self.assertNotIn(PASSWORD, User.objects.get().password)


class LogInTests(TestCase):
    def test_the_case_of_the_address_does_not_matter(self) -> None:
        learner = make_learner()
        self.assertEqual(authenticate(username="NIA@learners.example", password=PASSWORD), learner)

    def test_a_wrong_password_is_refused(self) -> None:
        make_learner()
        response = self.client.post(reverse("log_in"), {"username": "nia@learners.example", "password": "guess"})
        self.assertContains(response, "Please enter a correct email and password")

    def test_a_page_of_ones_own_asks_for_a_log_in_and_comes_back(self) -> None:
        make_learner()
        response = self.client.get(reverse("preferences"))
        self.assertRedirects(response, f"{reverse('log_in')}?next={reverse('preferences')}")
        fields = {"username": "nia@learners.example", "password": PASSWORD, "next": reverse("preferences")}
        self.assertRedirects(self.client.post(reverse("log_in"), fields), reverse("preferences"))


class PreferencesTests(TestCase):
    def setUp(self) -> None:
        self.learner = make_learner()
        self.client.force_login(self.learner)

    def test_the_defaults_need_no_row(self) -> None:
        self.assertContains(self.client.get(reverse("preferences")), 'data-theme="system"')
        self.assertFalse(Preferences.objects.exists())

    def test_it_saves_and_shows_the_chosen_colours(self) -> None:
        self.client.post(reverse("preferences"), self.fields(theme="dark"))
        self.assertEqual(Preferences.objects.get().user, self.learner)
        self.assertContains(self.client.get(reverse("home")), 'data-theme="dark"')

    def test_it_refuses_a_theme_that_does_not_exist(self) -> None:
        self.client.post(reverse("preferences"), self.fields(theme="neon"))
        self.assertFalse(Preferences.objects.exists())

    def fields(self, **changes: str) -> dict[str, str]:
        form = PreferencesForm(instance=Preferences.of(self.learner))
        return {name: str(value) for name, value in form.initial.items() if value is not None} | changes
