"""Items that are attested: a signature brings evidence, a file or a link, and an end."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("releases", "0008_case_result"),
    ]

    operations = [
        migrations.AddField(
            model_name="checklistitem",
            name="attested",
            field=models.BooleanField(
                default=False, help_text="A signature counts only with evidence (a file or a link) and an end."
            ),
        ),
        migrations.AddField(
            model_name="evidence",
            name="link",
            field=models.CharField(blank=True, max_length=1000),
        ),
        migrations.AddField(
            model_name="evidence",
            name="link_note",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddConstraint(
            model_name="evidence",
            constraint=models.CheckConstraint(
                condition=models.Q(("link", ""), ("link_note__gt", ""), _connector="OR"), name="evidence_link_says_what"
            ),
        ),
    ]
