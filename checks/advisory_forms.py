"""Forms about advisories."""

from typing import Final

from django import forms

MAX_ARCHIVE_BYTES: Final = 500 * 1024**2


class AdvisoriesForm(forms.Form):
    """An archive of OSV data."""

    archive = forms.FileField(
        label="Archive",
        help_text="OSV entries in JSON or YAML as .zip, .tar.gz or .tar, such as OSV's all.zip; at most 500 MB.",
    )
    skip_unreadable = forms.BooleanField(
        required=False,
        label="Leave out files that cannot be read",
        help_text="What they warn of will be missed. Their names are kept.",
    )
    may_shrink = forms.BooleanField(
        required=False,
        label="Older data, or much less of it, is meant",
        help_text="Otherwise an archive that looks cut off is refused.",
    )

    def clean_archive(self) -> object:
        archive = self.cleaned_data["archive"]
        if archive.size > MAX_ARCHIVE_BYTES:
            raise forms.ValidationError("The archive is larger than 500 MB.")
        return archive
