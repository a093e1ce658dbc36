"""How long a run took against the usual of its section."""

import pytest

from checks.models import Run
from checks.presenting import shown_all
from tests.engine.support import application_with, check, run_section

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_first_run_has_nothing_to_be_compared_with_and_a_second_has() -> None:
    application = application_with({"quick": check("test_command", params={"argv": ["true"]})})
    run_section(application, "checks.quick")
    assert [shown.against for shown in shown_all(list(Run.objects.all()))] == [None]
    run_section(application, "checks.quick")
    both = [shown.against for shown in shown_all(list(Run.objects.order_by("number")))]
    assert None not in both
    assert sum(against for against in both if against is not None) == pytest.approx(0)
