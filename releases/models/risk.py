"""The risk register of one release."""

from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from releases.enums import Treatment

_SCALE = [MinValueValidator(1), MaxValueValidator(5)]


def _on_scale(*names: str) -> models.Q:
    condition = models.Q()
    for name in names:
        condition &= models.Q(**{f"{name}__gte": 1, f"{name}__lte": 5})
    return condition


class Risk(models.Model):
    """Likelihood x impact, each 1 to 5: inherent (before), residual (when all mitigations are proven).

    The current position is computed from the mitigations' checklist items, unless somebody assessed it by hand.
    ``opened_at``: something happened that no mitigation explains; until two people have assessed the risk anew, it
    stands at its worst and keeps the gate closed, for ``opened_because``.
    ``mitigations``: list of {"text": str, "items": [checklist item keys]}.
    """

    release = models.ForeignKey("releases.Release", on_delete=models.CASCADE, related_name="risks")
    key = models.SlugField(max_length=60)
    position = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    owner = models.CharField(max_length=100, blank=True)
    inherent_likelihood = models.PositiveSmallIntegerField(validators=_SCALE)
    inherent_impact = models.PositiveSmallIntegerField(validators=_SCALE)
    residual_likelihood = models.PositiveSmallIntegerField(validators=_SCALE)
    residual_impact = models.PositiveSmallIntegerField(validators=_SCALE)
    appetite = models.PositiveSmallIntegerField(default=9, help_text="Highest score that may go live.")
    treatment = models.CharField(max_length=20, choices=Treatment.choices, default=Treatment.MITIGATE)
    mitigations = models.JSONField(default=list)
    opened_at = models.DateTimeField(null=True, blank=True)
    opened_because = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["release", "key"], name="risk_key_once"),
            models.CheckConstraint(
                condition=_on_scale("inherent_likelihood", "inherent_impact", "residual_likelihood", "residual_impact"),
                name="risk_on_scale",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class RiskAssessment(models.Model):
    """A person moved a risk by hand, and said why. The newest one that is not void counts."""

    risk = models.ForeignKey(Risk, on_delete=models.CASCADE, related_name="assessments")
    likelihood = models.PositiveSmallIntegerField(validators=_SCALE)
    impact = models.PositiveSmallIntegerField(validators=_SCALE)
    treatment = models.CharField(max_length=20, choices=Treatment.choices)
    reason = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=_on_scale("likelihood", "impact"), name="assessment_on_scale"),
            models.CheckConstraint(
                condition=models.Q(confirmed_by__isnull=True) | ~models.Q(confirmed_by=models.F("author")),
                name="assessment_two_people",
            ),
        ]
