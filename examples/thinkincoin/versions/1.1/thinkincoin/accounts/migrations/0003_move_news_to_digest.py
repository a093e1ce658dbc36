"""Whoever wanted news gets the weekly digest. Backwards, every digest counts as news."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def move_forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("accounts", "Preferences").objects.filter(news=True).update(digest="weekly")


def move_backwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("accounts", "Preferences").objects.exclude(digest="never").update(news=True)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_preferences_digest")]

    operations = [migrations.RunPython(move_forwards, move_backwards)]
