#!/bin/sh
# After a rehearsal: take back on the clone what it applied, so that the way back is proved and not only said.
. "$(dirname "$0")/pretalx.sh"
need GONOGO_APPLIED
DJANGO_SETTINGS_MODULE=pretalx.settings pretalx_python "$HOSTING/back.py" "$GONOGO_APPLIED"
