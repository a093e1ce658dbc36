#!/bin/sh
# Write the lock of one version: every artifact by its hash, no address of an index.   sh lock.sh 1.1
set -eu
cd "$(dirname "$0")"
uv pip compile --quiet --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
    --output-file "$1.txt" requirements.in
