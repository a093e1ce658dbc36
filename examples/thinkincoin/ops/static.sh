#!/bin/sh
# Front end: the static files of this release, named by their content.
. "$(dirname "$0")/thinkincoin.sh"
install_release
thinkincoin collectstatic --noinput
