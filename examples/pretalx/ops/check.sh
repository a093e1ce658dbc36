#!/bin/sh
# Security audit: what Django says of the settings that this release has where visitors come by HTTPS.
. "$(dirname "$0")/pretalx.sh"
install_release
PRETALX_SITE_URL=https://conference.example pretalx check --deploy
