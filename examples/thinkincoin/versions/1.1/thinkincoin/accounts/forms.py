from django.contrib.auth.forms import BaseUserCreationForm
from django.forms import ModelForm

from thinkincoin.accounts.models import Preferences, User


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
