#!/bin/sh
# After a rehearsal: print each migration that it applied and that cannot be taken back.
. "$(dirname "$0")/pretalx.sh"
need GONOGO_WORK
DJANGO_SETTINGS_MODULE=pretalx.settings pretalx_python "$HOSTING/irreversible.py" "$GONOGO_WORK/migrations.txt"
