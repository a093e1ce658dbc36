#!/bin/sh
# Front end: the static files of this release. 2024 compresses them offline; later versions have no such command.
. "$(dirname "$0")/pretalx.sh"
install_release
if static_once; then
    pretalx collectstatic --noinput --verbosity 1
    case "$GONOGO_VERSION" in
        2024.*) pretalx compress ;;
    esac
    static_made
fi
