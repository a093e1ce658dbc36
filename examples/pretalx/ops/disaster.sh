#!/bin/sh
# Disaster drill: this release in a home of its own, with the configuration that the backup holds, on the restored data.
#   sh ops/disaster.sh prepare | serve
set -eu
ops="$(dirname "$0")"
APP_HOME="$GONOGO_WORK/home"
PRETALX_CONFIG_FILE="$(find "$GONOGO_CONFIGURATION" -name pretalx.cfg)"
PRETALX_FILESYSTEM_DATA="$APP_HOME/data"
PRETALX_FILESYSTEM_LOGS="$APP_HOME/log"
export APP_HOME PRETALX_CONFIG_FILE PRETALX_FILESYSTEM_DATA PRETALX_FILESYSTEM_LOGS
mkdir -p "$PRETALX_FILESYSTEM_DATA" "$PRETALX_FILESYSTEM_LOGS"
case "$1" in
prepare)
    sh "$ops/static.sh"
    sh "$ops/migrate.sh"
    ;;
serve)
    . "$ops/pretalx.sh"
    install_release
    pretalx_python -m gunicorn pretalx.wsgi --bind "127.0.0.1:$PORT" --workers 1 --threads 4
    ;;
esac
