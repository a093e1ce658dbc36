#!/bin/sh
# Say which migrations this release would apply; exit 0 also when there are none.
. "$(dirname "$0")/thinkincoin.sh"
install_release
thinkincoin showmigrations --plan | grep '^\[ \]' || echo "None: the database is at this release."
