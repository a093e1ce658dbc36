"""A risk that something has opened, until two people have assessed it anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("releases", "0005_user_invited_at")]

    operations = [
        migrations.AddField("risk", "opened_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("risk", "opened_because", models.TextField(blank=True, default=""), preserve_default=False),
    ]
