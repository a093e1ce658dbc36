"""What people found when they walked the scripted cases of the plan's acceptance."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from releases.enums import CaseVerdict


class CaseResult(models.Model):
    """One person's verdict on one case, about one build; never changed, the newest counts.

    ``case_digest``: SHA-256 of the case as it was walked, so that a changed case has to be walked again.
    ``screenshot``: {"name", "key", "size", "sha256"}, or empty.
    """

    release = models.ForeignKey("releases.Release", on_delete=models.PROTECT, related_name="case_results")
    case = models.CharField(max_length=60)
    case_digest = models.CharField(max_length=64)
    build_digest = models.CharField(max_length=64)
    verdict = models.CharField(max_length=20, choices=CaseVerdict.choices)
    note = models.TextField(blank=True)
    screenshot = models.JSONField(default=dict, blank=True)
    tester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-recorded_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(verdict__in=CaseVerdict.values), name="case_verdict_known"),
            models.CheckConstraint(
                condition=models.Q(verdict=CaseVerdict.PASSED) | ~models.Q(note=""), name="case_says_why_not"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["release", "case", "-recorded_at"])]

    def __str__(self) -> str:
        return f"{self.case}: {self.verdict}"
