from django.http import HttpRequest

from thinkincoin.accounts.models import Preferences
from thinkincoin.version import VERSION


def site(request: HttpRequest) -> dict[str, str]:
    """What every page shows: the version, and the colours that the visitor has chosen."""
    theme = Preferences.Theme.SYSTEM
    if request.user.is_authenticated:
        theme = Preferences.of(request.user).theme
    return {"site_version": VERSION, "theme": theme}
