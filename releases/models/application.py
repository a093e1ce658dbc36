"""An application, and the immutable versions of its plan."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Application(models.Model):
    """Something that is released: one code base, one plan, some environments."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    plan_folder = models.CharField(
        max_length=500, blank=True, help_text="Folder on the workers that holds the plan's scripts and builds."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def current_plan(self) -> "PlanVersion":
        """The newest plan version; raises PlanVersion.DoesNotExist where none was published."""
        return self.plan_versions.latest("number")


class PlanVersion(models.Model):
    """One published plan. Never changed and never deleted (the database refuses both).

    ``document`` is the validated plan as JSON. ``sections`` maps a section ("checks.backup", "deploy")
    to the SHA-256 hex digest of everything that decides what that section does.
    """

    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="plan_versions")
    number = models.PositiveIntegerField()
    text = models.TextField()
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    sections = models.JSONField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["application", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["application", "number"], name="plan_version_number_once"),
        ]

    def __str__(self) -> str:
        return f"{self.application} plan v{self.number}"
