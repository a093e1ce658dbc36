#!/bin/sh
# Integrations: sessions are tidied, and what other programs read (schedule apps, calendars, the API) still answers.
. "$(dirname "$0")/pretalx.sh"
pretalx check --database default
pretalx clearsessions
"$PYTHON" "$HOSTING/feeds.py" /democon/schedule/export/schedule.xml /democon/schedule/export/schedule.json \
    /democon/schedule/feed.xml /api/events/
