"""People, how they like the site, and who tried to log in as them."""

import hashlib
from datetime import timedelta
from typing import Any, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        if not email:
            raise ValueError("A person needs an e-mail address.")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A learner, known by e-mail address."""

    email = models.EmailField(unique=True)
    display_name = models.CharField(max_length=80)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    joined_at = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["display_name"]
    objects = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_in_any_case")]

    def __str__(self) -> str:
        return self.display_name


class Preferences(models.Model):
    """One row for each person who has changed something; everybody else has the defaults."""

    class Theme(models.TextChoices):
        SYSTEM = "system", "As my device"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        GERMAN = "de", "Deutsch"
        FRENCH = "fr", "Français"

    class Digest(models.TextChoices):
        NEVER = "never", "Never"
        WEEKLY = "weekly", "Once a week"
        DAILY = "daily", "Every day"

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="preferences")
    theme = models.CharField(max_length=10, choices=Theme, default=Theme.SYSTEM)
    language = models.CharField("language of the lessons", max_length=5, choices=Language, default=Language.ENGLISH)
    digest = models.CharField("news by e-mail", max_length=10, choices=Digest, default=Digest.NEVER)
    reminder_hour = models.PositiveSmallIntegerField(
        "remind me at this hour (UTC)", null=True, blank=True, help_text="0 to 23; empty for no reminder."
    )

    class Meta:
        verbose_name_plural = "preferences"
        constraints = [
            models.CheckConstraint(condition=models.Q(reminder_hour__lte=23), name="reminder_hour_is_of_the_clock")
        ]

    def __str__(self) -> str:
        return f"Preferences of {self.user}"

    @classmethod
    def of(cls, user: User) -> Self:
        """Return the person's preferences, the defaults (not saved) where there are none."""
        return cls.objects.filter(user=user).first() or cls(user=user)


class WrongPassword(models.Model):
    """One wrong password for one name, whether somebody has that name or not. Kept as long as it counts."""

    MOST = 10
    COUNTED_FOR = timedelta(minutes=10)

    # Not the name itself: people type other things there by mistake, their password among them.
    name_digest = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["name_digest", "at"], name="wrong_password_of_name")]

    def __str__(self) -> str:
        return f"A wrong password at {self.at:%H:%M}"

    @classmethod
    def too_many(cls, name: str) -> bool:
        since = timezone.now() - cls.COUNTED_FOR
        return cls.objects.filter(name_digest=digest_of(name), at__gt=since).count() >= cls.MOST

    @classmethod
    def note(cls, name: str) -> None:
        cls.objects.filter(at__lte=timezone.now() - cls.COUNTED_FOR).delete()
        cls.objects.create(name_digest=digest_of(name))

    @classmethod
    def forget(cls, name: str) -> None:
        cls.objects.filter(name_digest=digest_of(name)).delete()


def digest_of(name: str) -> str:
    return hashlib.sha256(name.strip().lower().encode()).hexdigest()
