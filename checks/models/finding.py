"""What audits found, over all releases of an application: the finding, each scan's word about it, its acceptance."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from checks.enums import AcceptanceEnd, FindingFamily, FindingSeverity, OccurrenceChange


class Finding(models.Model):
    """One thing that is wrong, whoever saw it and how often. Only ``checks.findings`` writes it.

    ``fingerprint``: SHA-256 hex of family, rule or CWE, and place; see ``checks.findings.fingerprints``.
    ``severity`` and what else describes it are of its newest scan; ``rank`` is the severity as a number, 1 to 4.
    ``place``: {"kind": "package", "ecosystem", "name"}, {"kind": "route", "method", "route", "parameter"},
    {"kind": "file", "path", "code"} or {"kind": "system", "name"}. ``resolved_at``: no environment has it any more.
    ``joined_into``: it turned out to be the same vulnerability as that finding, which stands for both.
    """

    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="findings")
    fingerprint = models.CharField(max_length=64)
    family = models.CharField(max_length=20, choices=FindingFamily.choices)
    rule = models.CharField(max_length=200)
    title = models.CharField(max_length=300)
    severity = models.CharField(max_length=10, choices=FindingSeverity.choices)
    rank = models.PositiveSmallIntegerField()
    cvss = models.FloatField(null=True)
    place = models.JSONField()
    place_text = models.CharField(max_length=500)
    detail = models.TextField(blank=True)
    remedy = models.TextField(blank=True)
    aliases = ArrayField(models.CharField(max_length=100), default=list)
    cwe = ArrayField(models.PositiveIntegerField(), default=list)
    owasp = models.CharField(max_length=20, blank=True)
    asvs = ArrayField(models.CharField(max_length=20), default=list)
    fixed_in = ArrayField(models.CharField(max_length=100), default=list)
    link = models.CharField(max_length=500, blank=True)
    first_run = models.ForeignKey("checks.Run", on_delete=models.PROTECT, related_name="+")
    first_seen_at = models.DateTimeField()
    last_run = models.ForeignKey("checks.Run", on_delete=models.PROTECT, related_name="+")
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    joined_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="joined")

    class Meta:
        ordering: ClassVar = ["-rank", "-last_seen_at", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["application", "fingerprint"], name="finding_once"),
            models.CheckConstraint(
                condition=models.Q(fingerprint__regex=r"^[0-9a-f]{64}$"), name="finding_fingerprint_is_sha256"
            ),
            models.CheckConstraint(condition=models.Q(family__in=FindingFamily.values), name="finding_family_known"),
            models.CheckConstraint(
                condition=models.Q(severity="critical", rank=4)
                | models.Q(severity__in=["high", "unknown"], rank=3)
                | models.Q(severity="medium", rank=2)
                | models.Q(severity="low", rank=1),
                name="finding_rank_is_of_severity",
            ),
            models.CheckConstraint(
                condition=models.Q(cvss__isnull=True) | models.Q(cvss__gte=0, cvss__lte=10),
                name="finding_cvss_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(joined_into__isnull=True) | ~models.Q(joined_into=models.F("pk")),
                name="finding_not_joined_with_itself",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["application", "-rank", "-last_seen_at"], name="finding_of_application")
        ]

    def __str__(self) -> str:
        return f"{self.title}, {self.place_text}"


class FindingName(models.Model):
    """One id of a vulnerability in one package, and the finding that it belongs to."""

    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="+")
    ecosystem = models.CharField(max_length=60)
    package = models.CharField(max_length=300)
    name = models.CharField(max_length=100)
    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="names")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["application", "ecosystem", "package", "name"], name="finding_name_once")
        ]

    def __str__(self) -> str:
        return self.name


class Presence(models.Model):
    """Whether a finding is in one environment. Resolved only by a completed look there that covered its place.

    ``tools``: which saw it there last. ``pages``: at which it was seen, of what is wrong with a whole site; one stays
    until a look asks it again.
    """

    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="presences")
    environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, related_name="+")
    tools = ArrayField(models.CharField(max_length=60), default=list)
    pages = ArrayField(models.CharField(max_length=500), default=list)
    last_run = models.ForeignKey("checks.Run", on_delete=models.PROTECT, related_name="+")
    last_seen_at = models.DateTimeField()
    resolved_run = models.ForeignKey("checks.Run", on_delete=models.PROTECT, null=True, related_name="+")
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["finding", "environment"], name="presence_once"),
            models.CheckConstraint(
                condition=models.Q(resolved_at__isnull=True, resolved_run__isnull=True)
                | models.Q(resolved_at__isnull=False, resolved_run__isnull=False),
                name="presence_resolved_by_a_run",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment"], condition=models.Q(resolved_at__isnull=True), name="presence_open")
        ]


class Scan(models.Model):
    """What one run's tools looked at. ``limit``: the severity from which on a finding that nobody accepted blocks.

    ``tools``: list of {"tool", "version", "status", "seconds", "found", "looked_at", "unit", "why"}.
    ``figures``: {"new", "still", "resolved", "reopened"}.
    """

    run = models.OneToOneField("checks.Run", on_delete=models.PROTECT, related_name="scan")
    limit = models.CharField(max_length=10, choices=FindingSeverity.choices)
    tools = models.JSONField(default=list)
    figures = models.JSONField(default=dict)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(limit__in=[*FindingSeverity.values]) & ~models.Q(limit="unknown"),
                name="scan_limit_known",
            )
        ]


class Occurrence(models.Model):
    """What one scan said about one finding. ``versions``: of the package, where seen; ``lines``: of the file."""

    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="occurrences")
    run = models.ForeignKey("checks.Run", on_delete=models.PROTECT, related_name="occurrences")
    change = models.CharField(max_length=10, choices=OccurrenceChange.choices)
    severity = models.CharField(max_length=10, choices=FindingSeverity.choices)
    tools = ArrayField(models.CharField(max_length=60), default=list)
    versions = ArrayField(models.CharField(max_length=100), default=list)
    lines = ArrayField(models.PositiveIntegerField(), default=list)
    at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["finding", "run"], name="occurrence_once"),
            models.CheckConstraint(
                condition=models.Q(change__in=OccurrenceChange.values), name="occurrence_change_known"
            ),
            models.CheckConstraint(
                condition=models.Q(severity__in=FindingSeverity.values), name="occurrence_severity_known"
            ),
        ]


class Acceptance(models.Model):
    """Leave to live with a finding for a while: a reason, two people, an end. It never makes a finding resolved.

    ``severity``, ``rank`` and ``had_fix`` are the finding's when somebody asked; a higher rank or a first fix ends it.
    ``ended_because`` is empty while it stands; that its time is over is computed when it is read.
    """

    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="acceptances")
    reason = models.TextField()
    severity = models.CharField(max_length=10, choices=FindingSeverity.choices)
    rank = models.PositiveSmallIntegerField()
    had_fix = models.BooleanField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    ended_because = models.CharField(max_length=10, choices=AcceptanceEnd.choices, blank=True)
    warned_days = models.PositiveSmallIntegerField(
        null=True, help_text="The last warning before its end: 10 or 2 days."
    )

    class Meta:
        ordering: ClassVar = ["-requested_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(approved_by__isnull=True, approved_at__isnull=True)
                | models.Q(approved_by__isnull=False, approved_at__isnull=False)
                & ~models.Q(approved_by=models.F("requested_by")),
                name="acceptance_two_people",
            ),
            models.CheckConstraint(condition=models.Q(reason__gt=""), name="acceptance_has_a_reason"),
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True, ended_because="")
                | models.Q(ended_at__isnull=False, ended_because__gt=""),
                name="acceptance_end_has_a_cause",
            ),
            models.UniqueConstraint(
                fields=["finding"],
                condition=models.Q(ended_at__isnull=True, approved_at__isnull=False),
                name="acceptance_one_standing",
            ),
            models.UniqueConstraint(
                fields=["finding"],
                condition=models.Q(ended_at__isnull=True, approved_at__isnull=True),
                name="acceptance_one_waiting",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["expires_at"], condition=models.Q(ended_at__isnull=True), name="acceptance_standing_ends"
            )
        ]

    def __str__(self) -> str:
        return f"Acceptance of {self.finding}"
