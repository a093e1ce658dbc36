#!/bin/sh
# Integrations: what pretalx does beside answering requests still works with this release.
. "$(dirname "$0")/pretalx.sh"
pretalx check --database default
pretalx clearsessions
# Sends what is due, as the nightly cron job does; pretalx itself reports a task that failed only in its log.
pretalx runperiodic
echo "Checks, session clean-up and periodic tasks ran with release $GONOGO_VERSION."
