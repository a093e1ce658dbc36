"""The corpus of the audit: how many flaws are planted in it, how many twins are sound, and that the manual says so."""

import re
from pathlib import Path

from django.conf import settings

from tests.kinds_audit import annex, shop, site, tls_site
from tests.kinds_audit.test_look_at_headers import PAIRS, SCRIPTS, TLS_PAIRS
from tests.kinds_audit.test_look_at_source import FLAWS, NO_SECRETS, SECRETS, TWINS

#: Look -> planted flaws that must be found, and safe twins of which nothing may be said. Each is asked by a test of the
#: look; a page of the shop or the annex is sound wherever its flaw is not planted, and is scanned in that form too.
CORPUS = {
    "code": (len(FLAWS), len(TWINS)),
    "secrets": (len(SECRETS), len(NO_SECRETS)),
    "headers": (
        len(PAIRS) + sum(bool(expected) for _, expected in (*SCRIPTS, *TLS_PAIRS)),
        len(PAIRS) + sum(not expected for _, expected in (*SCRIPTS, *TLS_PAIRS)),
    ),
    "tls": (len(tls_site.FLAWS), len(tls_site.VARIANTS)),
    "web": (len(shop.FLAWS) + len(annex.FLAWS), len(shop.FLAWS) + len(annex.FLAWS)),
    "authentication": (len(site.FLAWS), len(site.VARIANTS)),
}


def test_there_are_far_more_than_25_of_each() -> None:
    assert sum(flaws for flaws, _ in CORPUS.values()) >= 25
    assert sum(twins for _, twins in CORPUS.values()) >= 25
    assert all(flaws and twins for flaws, twins in CORPUS.values())


def test_the_manual_has_the_numbers() -> None:
    manual = (Path(settings.BASE_DIR) / "docs" / "kinds-audit.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", manual, re.M)
    assert {name: (int(flaws), int(twins)) for name, flaws, twins in rows} == CORPUS
    total = re.search(r"^\| together \| (\d+) \| (\d+) \|", manual, re.M)
    assert total is not None
    assert (int(total[1]), int(total[2])) == tuple(map(sum, zip(*CORPUS.values(), strict=True)))
