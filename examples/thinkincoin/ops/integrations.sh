#!/bin/sh
# Integrations: what stands around the site answers, and the courses are those of this release.
. "$(dirname "$0")/thinkincoin.sh"
thinkincoin check_integrations
thinkincoin load_courses
