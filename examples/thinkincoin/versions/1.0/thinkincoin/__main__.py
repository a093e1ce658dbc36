"""`python -m thinkincoin COMMAND`: Django's commands with this project's settings."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "thinkincoin.settings")
execute_from_command_line(["thinkincoin", *sys.argv[1:]])
