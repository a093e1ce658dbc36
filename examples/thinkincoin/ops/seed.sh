#!/bin/sh
# Demonstration data: the courses, and learners with progress and preferences; the same numbers give the same data.
. "$(dirname "$0")/thinkincoin.sh"
need SEED_USERS SEED_NUMBER SEED_DOMAIN ADMINISTRATOR_EMAIL ADMINISTRATOR_PASSWORD
thinkincoin seed --users "$SEED_USERS" --number "$SEED_NUMBER" --domain "$SEED_DOMAIN"
SEED_PASSWORD="$ADMINISTRATOR_PASSWORD" thinkincoin seed --users 0 --learner "$ADMINISTRATOR_EMAIL"
if [ -n "${AUDIT_EMAIL:-}" ]; then
    SEED_PASSWORD="$AUDIT_PASSWORD" thinkincoin seed --users 0 --learner "$AUDIT_EMAIL"
fi
