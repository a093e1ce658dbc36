"""People. Somebody logs in by e-mail; what they may do is decided by their memberships."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import connection, models
from django.db.models.functions import Lower
from django.utils.functional import cached_property

from releases.enums import Role

#: Addresses of accounts that were erased end like this; no mail reaches them (RFC 2606).
ERASED_DOMAIN = "erased.invalid"


def is_for_erased(email: str) -> bool:
    """Whether an address is one that only the erasure of an account may give."""
    domain = email.strip().lower().rpartition("@")[2].rstrip(".")
    return domain == ERASED_DOMAIN or domain.endswith(f".{ERASED_DOMAIN}")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        if not email:
            raise ValueError("An e-mail address is needed to make an account.")
        if is_for_erased(email):
            raise ValueError(f"Addresses at {ERASED_DOMAIN} are those of erased accounts.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person. ``is_superuser`` opens the administration pages; it never opens the gate."""

    username = None  # type: ignore[assignment]
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC")
    invited_at = models.DateTimeField(null=True, blank=True, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(Lower("email"), name="user_email_any_case")]

    def __str__(self) -> str:
        return self.name or self.email

    @cached_property
    def held_roles(self) -> frozenset[tuple[int, str]]:
        """Each role held and the application's id, as this object first read them: for what one page shows and
        leaves out. Whatever changes something asks ``releases.permissions`` anew.
        """
        # By SQL of our own, for every page asks: Django takes longer to write it than PostgreSQL to answer.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT m.application_id, m.role FROM releases_membership m JOIN releases_user u ON u.id = m.user_id"
                " WHERE u.id = %s AND u.is_active",
                [self.pk],
            )
            return frozenset(cursor.fetchall())

    @property
    def waits_to_accept(self) -> bool:
        """Invited, and never logged in since."""
        return self.invited_at is not None and self.last_login is None

    @property
    def is_erased(self) -> bool:
        """Whether the account is a pseudonym, for ever. Nobody can be made or become one by its address alone."""
        return not self.is_active and self.email == self.erased_email

    @property
    def erased_email(self) -> str:
        """What stands in the place of the address once the account is erased."""
        return f"erased-{self.pk}@{ERASED_DOMAIN}"

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name


#: What a page names a person by; ``is_active``, since a sentence may turn on it.
_NAMED_BY = frozenset({"id", "email", "name", "is_active"})


def beside_names(*people: str) -> list[str]:
    """The columns of people that nobody needs who only names them, for ``.select_related("author")`` and then
    ``.defer(*beside_names("author"))``: a wide row costs a page more than the query itself.
    """
    columns = [field.name for field in User._meta.concrete_fields if field.name not in _NAMED_BY]
    return [f"{person}__{column}" for person in people for column in columns]


class Membership(models.Model):
    """One role of one person in one application; an approver also has the station they speak for."""

    application = models.ForeignKey("releases.Application", on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices)
    station = models.CharField(max_length=40, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["application", "user", "role", "station"], name="membership_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
            models.CheckConstraint(
                condition=models.Q(role=Role.APPROVER, station__gt="")
                | ~models.Q(role=Role.APPROVER) & models.Q(station=""),
                name="membership_station_for_approvers",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.get_role_display()}"
