from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="preferences",
            name="digest",
            field=models.CharField(
                choices=[("never", "Never"), ("weekly", "Once a week"), ("daily", "Every day")],
                default="never",
                max_length=10,
                verbose_name="news by e-mail",
            ),
        ),
        migrations.AddField(
            model_name="preferences",
            name="reminder_hour",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="0 to 23; empty for no reminder.",
                null=True,
                verbose_name="remind me at this hour (UTC)",
            ),
        ),
        migrations.AddConstraint(
            model_name="preferences",
            constraint=models.CheckConstraint(
                condition=models.Q(("reminder_hour__lte", 23)), name="reminder_hour_is_of_the_clock"
            ),
        ),
    ]
