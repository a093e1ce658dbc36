"""Each name of a byline becomes an author. Backwards, the authors' names are joined to the byline again."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def split(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    authors = apps.get_model("courses", "Author").objects
    authorships = apps.get_model("courses", "Authorship").objects
    for course in apps.get_model("courses", "Course").objects.all():
        names = [name.strip() for name in course.byline.split(",") if name.strip()]
        for position, name in enumerate(dict.fromkeys(names), start=1):
            author, _ = authors.get_or_create(name=name)
            authorships.create(course=course, author=author, position=position)


def join(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for course in apps.get_model("courses", "Course").objects.all():
        rows = course.authorships.order_by("position")
        course.byline = ", ".join(rows.values_list("author__name", flat=True))
        course.save(update_fields=["byline"])
    apps.get_model("courses", "Authorship").objects.all().delete()
    apps.get_model("courses", "Author").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("courses", "0005_authors")]

    operations = [migrations.RunPython(split, join)]
