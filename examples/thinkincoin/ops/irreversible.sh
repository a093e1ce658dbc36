#!/bin/sh
# After a rehearsal: print each migration that it applied and that cannot be taken back.
. "$(dirname "$0")/thinkincoin.sh"
need GONOGO_WORK
DJANGO_SETTINGS_MODULE=thinkincoin.settings "$RELEASE/venv/bin/python" "$HOSTING/irreversible.py" \
    "$GONOGO_WORK/migrations.txt"
