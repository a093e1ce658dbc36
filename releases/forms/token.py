"""Forms of keys for programs."""

from django import forms


class TokenForm(forms.Form):
    """A key by which CI sends test reports."""

    name = forms.CharField(max_length=100, label="For", help_text="Which program gets it, such as CI of one branch.")
    days = forms.IntegerField(min_value=1, max_value=366, initial=90, label="Days", help_text="How long it is valid.")
