"""How people log in: accounts are made by an administrator, and second factors are kept encrypted."""

from collections.abc import Mapping

from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from releases.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc] # allauth has no types
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up; an administrator makes each account."""
        return False

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Change the password and nothing else, of an account that did not end while this waited for its row."""
        user.set_password(password)
        if not User.objects.filter(pk=user.pk, is_active=True).update(password=user.password):
            raise PermissionDenied("This account is not active any more. Nothing was changed.")


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc] # allauth has no types
    def is_open_for_signup(self, request: HttpRequest, sociallogin: object) -> bool:
        """A company log-in opens an account that exists already, and makes none."""
        return False


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc] # allauth has no types
    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _fernet().decrypt(encrypted_text.encode()).decode()


def login_name(request: HttpRequest | None, credentials: Mapping[str, str] | None = None) -> str | None:
    """Return whose log-in is being tried, for the count of wrong passwords."""
    for source in (credentials, request.POST if request is not None else None):
        for field in ("email", "username", "login"):
            value = (source or {}).get(field)
            if value:
                return str(value).strip().lower()
    return None


def client_address(request: HttpRequest) -> str | None:
    """The address that counts wrong passwords: the one that django-allauth counts by, so that both see the same.

    None where there is none, as on a socket of the machine.
    """
    try:
        return str(get_adapter(request).get_client_ip(request))
    except PermissionDenied:
        return None


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_ENCRYPTION_KEYS])
