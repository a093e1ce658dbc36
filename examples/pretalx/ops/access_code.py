"""Staging's call for papers is over; with this code the load test submits all the same. Run by seed.sh.

python command.py RELEASE_FOLDER access_code.py CODE
"""

import os
import sys

import django


def main(code: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pretalx.settings")
    django.setup()
    from django_scopes import scopes_disabled
    from pretalx.event.models import Event
    from pretalx.submission.models import SubmitterAccessCode

    with scopes_disabled():
        for event in Event.objects.all():
            # By default a code is used up by its first submission.
            unlimited = {"maximum_uses": None}
            _, made = SubmitterAccessCode.objects.update_or_create(event=event, code=code, defaults=unlimited)
            print(f"The access code of {event.slug} is {'made' if made else 'there already'}.")


if __name__ == "__main__":
    main(sys.argv[1])
