"""What people found when they walked the cases of an acceptance; the rows never change."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


GUARD = """
CREATE TRIGGER releases_caseresult_guard BEFORE UPDATE OR DELETE ON releases_caseresult
    FOR EACH ROW EXECUTE FUNCTION releases_never_changes();
"""
UNGUARD = "DROP TRIGGER releases_caseresult_guard ON releases_caseresult;"


class Migration(migrations.Migration):
    dependencies = [
        ("releases", "0007_report_token"),
    ]

    operations = [
        migrations.CreateModel(
            name="CaseResult",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("case", models.CharField(max_length=60)),
                ("case_digest", models.CharField(max_length=64)),
                ("build_digest", models.CharField(max_length=64)),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("passed", "It passed"),
                            ("failed", "It failed"),
                            ("blocked", "It could not be walked"),
                        ],
                        max_length=20,
                    ),
                ),
                ("note", models.TextField(blank=True)),
                ("screenshot", models.JSONField(blank=True, default=dict)),
                ("recorded_at", models.DateTimeField()),
                (
                    "release",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="case_results", to="releases.release"
                    ),
                ),
                (
                    "tester",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ["-recorded_at", "-pk"],
                "indexes": [
                    models.Index(fields=["release", "case", "-recorded_at"], name="releases_ca_release_a9b62a_idx")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("verdict__in", ["passed", "failed", "blocked"])), name="case_verdict_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("verdict", "passed"), models.Q(("note", ""), _negated=True), _connector="OR"
                        ),
                        name="case_says_why_not",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
