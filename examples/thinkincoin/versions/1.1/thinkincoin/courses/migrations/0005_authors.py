import django.db.models.deletion
from django.db import migrations, models

KEY = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    dependencies = [("courses", "0004_remove_progress_state")]

    operations = [
        migrations.CreateModel(
            name="Author",
            fields=[
                ("id", KEY.clone()),
                ("name", models.CharField(max_length=80, unique=True)),
                ("about", models.TextField(blank=True)),
            ],
            options={"ordering": ["name"]},
        ),
        migrations.CreateModel(
            name="Authorship",
            fields=[
                ("id", KEY.clone()),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="authorships", to="courses.author"
                    ),
                ),
                (
                    "course",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="authorships", to="courses.course"
                    ),
                ),
            ],
            options={
                "ordering": ["course", "position"],
                "constraints": [
                    models.UniqueConstraint(fields=("course", "author"), name="author_once_for_each_course"),
                    models.UniqueConstraint(fields=("course", "position"), name="author_position_unique"),
                ],
            },
        ),
        migrations.AddField(
            model_name="course",
            name="authors",
            field=models.ManyToManyField(related_name="courses", through="courses.Authorship", to="courses.author"),
        ),
    ]
