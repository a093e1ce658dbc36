#!/bin/sh
# After a rehearsal: take back on the clone what it applied, so that the way back is proved and not only said.
. "$(dirname "$0")/thinkincoin.sh"
need GONOGO_APPLIED
DJANGO_SETTINGS_MODULE=thinkincoin.settings "$RELEASE/venv/bin/python" "$HOSTING/back.py" "$GONOGO_APPLIED"
