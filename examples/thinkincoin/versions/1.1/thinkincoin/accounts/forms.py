from typing import Any

from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm
from django.core.exceptions import ValidationError
from django.forms import ModelForm

from thinkincoin.accounts.models import Preferences, User, WrongPassword


class LogInForm(AuthenticationForm):
    """Refuses a name, known or not, after too many wrong passwords; the right one is not looked at then either."""

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username") or ""
        if WrongPassword.too_many(name):
            raise ValidationError("There were too many wrong passwords. Please wait ten minutes.", code="too_many")
        try:
            cleaned = super().clean()
        except ValidationError:
            WrongPassword.note(name)
            raise
        WrongPassword.forget(name)
        return cleaned


class SignUpForm(BaseUserCreationForm):
    class Meta:
        model = User
        fields = ["email", "display_name"]

    def clean_email(self) -> str:
        email = self.cleaned_data["email"]
        if User.objects.filter(email__iexact=email).exists():
            self.add_error("email", "There is an account with this address already.")
        return email


class PreferencesForm(ModelForm):
    class Meta:
        model = Preferences
        fields = ["theme", "language", "digest", "reminder_hour"]
