"""What was marked as done gets the time of its last change and the per cent of right answers.

Backwards, what is complete is marked as done again; the number of right answers was never taken away.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Count, F


def complete(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    progress = apps.get_model("courses", "Progress").objects
    for lesson in apps.get_model("courses", "Lesson").objects.annotate(asked=Count("questions")):
        done = progress.filter(lesson=lesson, state="done")
        for right in set(done.values_list("right_answers", flat=True)):
            score = round(100 * right / lesson.asked) if lesson.asked else 100
            done.filter(right_answers=right).update(completed_at=F("updated_at"), score=score)


def mark_as_done(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("courses", "Progress").objects.filter(completed_at__isnull=False).update(state="done")


class Migration(migrations.Migration):
    dependencies = [("courses", "0002_progress_completed_at_score")]

    operations = [migrations.RunPython(complete, mark_as_done)]
