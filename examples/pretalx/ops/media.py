"""What people uploaded: slides for talks, and the proof that no file is missing that the database names.

python command.py RELEASE_FOLDER media.py make     once, by seed.sh: notes for each accepted talk
python command.py RELEASE_FOLDER media.py check    by disaster.sh: every file that a row names is there
"""

import os
import sys

import django

TALKS = 20


def make() -> None:
    from django.core.files.base import ContentFile
    from pretalx.submission.models import Resource, Submission

    if Resource.objects.exists():
        print("There are slides already; they are kept.")
        return
    talks = Submission.objects.filter(state__in=("accepted", "confirmed")).order_by("pk")[:TALKS]
    for talk in talks:
        text = f"Notes of {talk.code}: {talk.title}\n" * 400
        resource = Resource(submission=talk, description="Notes")
        resource.resource.save("notes.txt", ContentFile(text.encode()), save=True)
    if not talks:
        sys.exit("media: no talk is accepted, so there is none to give slides to.")
    print(f"{len(talks)} talks have notes to download.")


def check() -> None:
    named, missing = 0, []
    for model in django.apps.apps.get_models():
        for field in model._meta.get_fields():
            if not hasattr(field, "upload_to"):
                continue
            for row in model._base_manager.exclude(**{field.name: ""}).exclude(**{field.name: None}):
                file = getattr(row, field.name)
                named += 1
                if not file.storage.exists(file.name):
                    missing.append(file.name)
    if missing:
        sys.exit(f"media: {len(missing)} of {named} files that the database names are missing, such as {missing[0]}.")
    print(f"All {named} files that the database names are there.")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pretalx.settings")
    django.setup()
    from django_scopes import scopes_disabled

    with scopes_disabled():
        {"make": make, "check": check}[sys.argv[1]]()
