#!/bin/sh
# Front end: the static files of this release, named by their content.
. "$(dirname "$0")/thinkincoin.sh"
install_release
if static_once; then
    thinkincoin collectstatic --noinput
    static_made
fi
