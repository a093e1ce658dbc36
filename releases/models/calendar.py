"""Change freezes: times in which nothing goes live."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class ChangeFreeze(models.Model):
    """Empty application: for all of them."""

    application = models.ForeignKey("releases.Application", on_delete=models.CASCADE, null=True, blank=True)
    opens = models.DateTimeField()
    closes = models.DateTimeField()
    reason = models.CharField(max_length=300)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["opens"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(closes__gt=models.F("opens")), name="freeze_in_order")
        ]

    def __str__(self) -> str:
        return self.reason
