"""Where an application runs, what runs there now, and the secrets it needs."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from releases.enums import Tier


class Environment(models.Model):
    """One place where the application runs. An empty current build means: nobody can say."""

    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="environments")
    name = models.SlugField(max_length=60)
    tier = models.CharField(max_length=20, choices=Tier.choices)
    url = models.URLField(max_length=500, blank=True)
    queue = models.CharField(max_length=100, default="default")
    current_release = models.ForeignKey(
        "releases.Release", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    current_version = models.CharField(max_length=100, blank=True)
    current_build_digest = models.CharField(max_length=64, blank=True)
    current_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["application", "name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["application", "name"], name="environment_name_once"),
            models.CheckConstraint(condition=models.Q(tier__in=Tier.values), name="environment_tier_known"),
        ]

    def __str__(self) -> str:
        return f"{self.application.slug} {self.name}"

    @property
    def is_production(self) -> bool:
        return self.tier == Tier.PRODUCTION


class Secret(models.Model):
    """A value kept encrypted (MultiFernet, key outside the database) and shown to nobody."""

    application = models.ForeignKey("releases.Application", on_delete=models.CASCADE, related_name="secrets")
    name = models.SlugField(max_length=100)
    ciphertext = models.BinaryField()
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["application", "name"], name="secret_name_once")]

    def __str__(self) -> str:
        return self.name
