#!/bin/sh
# Security audit: what Django says of the settings that this release has where visitors come by HTTPS.
. "$(dirname "$0")/thinkincoin.sh"
install_release
HTTPS=1 thinkincoin check --deploy
