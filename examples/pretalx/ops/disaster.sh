#!/bin/sh
# Disaster drill: this release in a home of its own, with the configuration and media that the backup holds, on the
# restored data.
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
    # The backup names every file by the whole path that it had.
    media="$(find "$GONOGO_MEDIA" -type d -path '*/data/media' -prune)"
    [ -d "$media" ] || { echo "disaster: the backup holds no media." >&2; exit 1; }
    cp -R "$media" "$PRETALX_FILESYSTEM_DATA/media"
    sh "$ops/static.sh"
    sh "$ops/migrate.sh"
    . "$ops/pretalx.sh"
    pretalx_python "$GONOGO_PLAN_DIR/ops/media.py" check
    ;;
serve)
    . "$ops/pretalx.sh"
    install_release
    pretalx_python -m gunicorn pretalx.wsgi --bind "127.0.0.1:$PORT" --workers 1 --threads 4
    ;;
esac
