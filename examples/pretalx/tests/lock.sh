#!/bin/sh
# Write the lock of the tests' tools: every artifact by its hash, no address of an index.   sh lock.sh
set -eu
cd "$(dirname "$0")"
uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
    --no-annotate --no-emit-package lxml --output-file requirements.txt requirements.in
