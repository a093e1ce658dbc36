#!/bin/sh
# Demonstration data: an administrator and the event `democon` with about 78 submissions by 67 people.
. "$(dirname "$0")/pretalx.sh"
need ADMINISTRATOR_PASSWORD ADMINISTRATOR_EMAIL SEED_NUMBER
if has_rows person_user; then
    echo "There are people already; the administrator is kept."
else
    DJANGO_SUPERUSER_PASSWORD="$ADMINISTRATOR_PASSWORD"
    export DJANGO_SUPERUSER_PASSWORD
    pretalx createsuperuser --noinput --email "$ADMINISTRATOR_EMAIL"
fi
if has_rows event_event; then
    echo "There is an event already; it is kept."
else
    pretalx create_test_event --seed "$SEED_NUMBER"
    has_rows submission_submission || fail "create_test_event ended well but made no submission; see the lines above"
fi
pretalx_python "$GONOGO_PLAN_DIR/ops/media.py" make
if [ -n "${LOAD_ACCESS_CODE:-}" ]; then
    pretalx_python "$GONOGO_PLAN_DIR/ops/access_code.py" "$LOAD_ACCESS_CODE"
fi
if [ -n "${AUDIT_EMAIL:-}" ]; then
    pretalx_python "$GONOGO_PLAN_DIR/ops/audit_account.py" "$AUDIT_EMAIL"
fi
