"""When somebody was invited; null for accounts that were made otherwise."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("releases", "0004_break_glass_plan")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="invited_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
