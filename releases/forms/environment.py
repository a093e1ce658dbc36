"""Forms of environments and secrets."""

from django import forms


class AdoptForm(forms.Form):
    """Say what an environment runs already, where the program did not put it there itself."""

    version = forms.CharField(max_length=100)
    build_digest = forms.RegexField(
        r"^[0-9a-f]{64}$",
        label="Build digest",
        help_text="SHA-256 of the build, 64 hexadecimal digits.",
        error_messages={"invalid": "A build digest has 64 hexadecimal digits (0 to 9, a to f)."},
    )
    reason = forms.CharField(max_length=500, label="How you know", help_text="Kept in the ledger.")


class SecretForm(forms.Form):
    """A value that is kept encrypted and never shown again."""

    name = forms.SlugField(max_length=100, help_text="As the plan names it.")
    value = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
        strip=False,
        min_length=6,
        help_text="Kept encrypted, masked in every log, shown to nobody again.",
    )
