"""The account with which the security audit logs in to staging. Run by seed.sh.

python command.py RELEASE_FOLDER audit_account.py EMAIL, with its password in AUDIT_PASSWORD
"""

import os
import sys

import django


def main(email: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pretalx.settings")
    django.setup()
    from pretalx.person.models import User

    if User.objects.filter(email=email).exists():
        print("The account of the audit is there already.")
    else:
        User.objects.create_user(email=email, name="Audit", password=os.environ["AUDIT_PASSWORD"])
        print("The account of the audit is made.")


if __name__ == "__main__":
    main(sys.argv[1])
