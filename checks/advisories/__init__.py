"""Published advisories, imported from OSV data, for where the internet is not reached.

with advisories.served() as url: ...       # OSV's /v1/query on loopback, for pip-audit -s osv --osv-url
advisories.ages()                          # how old they are; more than 7 days warns; empty: there are none
"""

from checks.advisories.importing import import_advisories
from checks.advisories.querying import Age, ages, answer, vulnerabilities
from checks.advisories.serving import served

__all__ = ["Age", "ages", "answer", "import_advisories", "served", "vulnerabilities"]
