from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("courses", "0006_split_bylines")]

    operations = [
        # A default first, so that going backwards can put the column back on courses that exist.
        migrations.AlterField(
            model_name="course",
            name="byline",
            field=models.CharField(max_length=200, default=""),
        ),
        migrations.RemoveField(model_name="course", name="byline"),
    ]
