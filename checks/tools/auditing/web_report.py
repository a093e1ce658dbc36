"""What wapiti's report and log mean.

Only method, path, parameter and wapiti's own sentence are taken from a report: the requests in it hold the session's
cookies.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from checks.tools.auditing.looking import NotSeen, Rule
from checks.tools.auditing.said import Family, Found, RoutePlace, Severity

_CHEATS: Final = "https://cheatsheetseries.owasp.org/cheatsheets/"


def _rule(title: str, severity: Severity, remedy: str, cwe: int, asvs: str, sheet: str, owasp: str = "") -> Rule:
    link = f"{_CHEATS}{sheet}_Cheat_Sheet.html" if sheet else ""
    return Rule(Family.WEB, title, severity, remedy, (cwe,), (asvs,) if asvs else (), link, owasp)


_ESCAPE: Final = "Escape what people send where it is shown; let templates do it."
_BIND: Final = "Pass values as parameters of the query, never as part of its text."
_SCRIPTING: Final = "Cross_Site_Scripting_Prevention"
_INJECTION: Final = "Injection_Prevention"
#: By wapiti's name of what it found.
RULES: Final[dict[str, Rule]] = {
    "Reflected Cross Site Scripting": _rule(
        "A visitor's browser runs what an address brings", Severity.HIGH, _ESCAPE, 79, "1.2.1", _SCRIPTING
    ),
    "Stored Cross Site Scripting": _rule(
        "A visitor's browser runs what somebody stored", Severity.HIGH, _ESCAPE, 79, "1.2.1", _SCRIPTING
    ),
    "HTML Injection": _rule("An address can write into a page", Severity.MEDIUM, _ESCAPE, 80, "1.2.1", _SCRIPTING),
    "Stored HTML Injection": _rule(
        "What somebody stored can write into a page", Severity.MEDIUM, _ESCAPE, 80, "1.2.1", _SCRIPTING
    ),
    "SQL Injection": _rule(
        "What is sent reaches the database as SQL", Severity.CRITICAL, _BIND, 89, "1.2.4", "SQL_Injection_Prevention"
    ),
    "Blind SQL Injection": _rule(
        "What is sent reaches the database as SQL", Severity.CRITICAL, _BIND, 89, "1.2.4", "SQL_Injection_Prevention"
    ),
    "LDAP Injection": _rule(
        "What is sent reaches the directory as a query", Severity.HIGH, "Escape values of LDAP filters.", 90, "1.2.6",
        "LDAP_Injection_Prevention",
    ),
    "XPATH Injection": _rule(
        "What is sent reaches a document as a query", Severity.HIGH, _BIND, 643, "1.2.7", _INJECTION
    ),
    "Command execution": _rule(
        "What is sent is run on the server", Severity.CRITICAL, "Do not run commands or code made of what is sent.", 78,
        "1.2.5", "OS_Command_Injection_Defense",
    ),
    "Path Traversal": _rule(
        "Any file of the server can be read", Severity.CRITICAL,
        "Name files by ids of your own, and refuse paths that lead out of their folder.", 22, "5.3.2",
        "Input_Validation",
    ),
    "Open Redirect": _rule(
        "An address of this site leads to any other", Severity.MEDIUM, "Redirect to places of this site only.", 601,
        "3.7.2", "Unvalidated_Redirects_and_Forwards",
    ),
    "CRLF Injection": _rule(
        "What is sent becomes headers of the answer", Severity.HIGH, "Refuse line ends in headers.", 93, "4.2.4", ""
    ),
    "Cross Site Request Forgery": _rule(
        "Another site can send this form in a visitor's name", Severity.MEDIUM,
        "Give the form a token, and refuse requests without it.", 352, "3.5.1",
        "Cross-Site_Request_Forgery_Prevention",
    ),
    "Unrestricted File Upload": _rule(
        "Files that are run can be uploaded", Severity.HIGH, "Accept expected types only, and never run them.", 434,
        "5.2.2", "File_Upload",
    ),
    "Htaccess Bypass": _rule(
        "A page is guarded for some methods only", Severity.HIGH, "Guard it for every method.", 288, "", ""
    ),
    "Backup file": _rule("A backup of a page is served", Severity.MEDIUM, "Remove it.", 538, "13.4.1", ""),
    "HTTP Methods": _rule("Unusual methods are answered", Severity.LOW, "Refuse them.", 749, "", ""),
    "Internal Server Error": _rule(
        "The application breaks on what is sent", Severity.LOW, "See its log, and answer with a refusal instead.", 703,
        "16.5.3", "Error_Handling",
    ),
    "Resource consumption": _rule(
        "The application takes very long on what is sent", Severity.LOW, "Limit what a request may cost.", 400, "",
        "Denial_of_Service", "A06",
    ),
}  # fmt: skip
_SCRIPTED: Final = (
    "Reflected Cross Site Scripting", "Stored Cross Site Scripting", "HTML Injection", "Stored HTML Injection",
)  # fmt: skip
#: What each module tells by a finding. Errors and delays are met by all of them, so they are resolved by no module.
_TOLD: Final[dict[str, tuple[str, ...]]] = {
    "backup": ("Backup file",), "crlf": ("CRLF Injection",), "csrf": ("Cross Site Request Forgery",),
    "exec": ("Command execution",), "file": ("Path Traversal",), "htaccess": ("Htaccess Bypass",),
    "ldap": ("LDAP Injection",), "methods": ("HTTP Methods",), "permanentxss": _SCRIPTED,
    "redirect": ("Open Redirect",),
    "sql": ("SQL Injection", "XPATH Injection"), "timesql": ("Blind SQL Injection",),
    "upload": ("Unrestricted File Upload",), "xss": _SCRIPTED,
}  # fmt: skip
#: What modules look for at an address, by methods of their own.
BY_ANY_METHOD: Final = frozenset({"Backup file", "HTTP Methods", "Htaccess Bypass"})
#: Methods by which something can be changed, taken away or read along.
_UNUSUAL: Final = frozenset({"CONNECT", "DELETE", "PATCH", "PUT", "TRACE"})
_METHOD: Final = re.compile(r"\b([A-Z]+) \((\d{3})\)")
_BACKED_UP: Final = re.compile(r" found for (\S+)$")
#: Findings that break wapiti's own client, and how.
_BREAKING: Final[dict[str, str]] = {
    "Open Redirect": "redirects anywhere, and wapiti's own client breaks on some addresses there",
    "CRLF Injection": "writes what is sent into headers, and wapiti's own client cannot read such answers",
}
_RECORD: Final = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \| (?P<level>[A-Z]+) *\| \S+ - (?P<text>.*)$", re.M)
_SKIPPED: Final = re.compile(r"^(\d+) requests were skipped due to network issues")
_ATTACKED: Final = re.compile(r"^\[\+\] [A-Z]+ (\S+)")


def rules_of(modules: Iterable[str]) -> list[str]:
    """What these modules look for, by wapiti's names."""
    return [name for module in modules for name in _TOLD[module]]


def pages(report: Any) -> list[RoutePlace]:
    """Every page and form that was found, once. NotSeen when the report does not say."""
    try:
        asked = [row["request"] for row in report["infos"]["crawled_pages"]]
        places = [RoutePlace(str(each["method"]), urlsplit(str(each["url"])).path or "/") for each in asked]
    except (KeyError, TypeError, ValueError) as error:
        raise NotSeen(f"wapiti's report cannot be read: {type(error).__name__} {error}.") from error
    return list(dict.fromkeys(places))


def findings(report: Any, hidden: Sequence[str]) -> list[Found]:
    """What was found, each once. ``hidden``: cookies and the like that must stand in no sentence."""
    try:
        rows = [
            (str(name), row)
            for part in ("vulnerabilities", "anomalies")
            for name, listed in report[part].items()
            for row in listed
        ]
        found = [_finding(name, row, hidden) for name, row in rows]
        # wapiti only hands these on; whether a method is unusual and was answered is judged here.
        heard = report["additionals"].get("HTTP Methods", [])
        found += [_method_finding(row, names, hidden) for row in heard if (names := _answered(str(row["info"])))]
    except (KeyError, TypeError, AttributeError) as error:
        raise NotSeen(f"wapiti's report cannot be read: {type(error).__name__} {error}.") from error
    return list({(each.rule, each.place): each for each in reversed(found)}.values())[::-1]


def _finding(name: str, row: dict[str, Any], hidden: Sequence[str]) -> Found:
    path = _without(urlsplit(str(row["path"])).path or "/", hidden)
    place = RoutePlace(str(row["method"]), path, _without(str(row["parameter"] or ""), hidden))
    if row["module"] == "timesql":
        # wapiti calls it as what the module sql finds, which does not see it and must not resolve it.
        name = "Blind SQL Injection"
    elif name == "Backup file" and (page := _BACKED_UP.search(str(row["info"]))):
        # A finding of the page that was backed up, which the next scan goes over; nothing leads to the backup itself.
        route = _without(urlsplit(page[1]).path or "/", hidden)
        place = RoutePlace(place.method, route, path.rpartition("/")[2])
    detail = _without(f"{row['info']} (module {row['module']})", hidden)
    rule = RULES.get(name)
    if rule is None:
        # What nobody has rated here counts as high.
        return Found(Family.WEB, name, name, Severity.UNKNOWN, place, detail=detail)
    return rule.found(name, place, detail=detail)


def _method_finding(row: dict[str, Any], names: Sequence[str], hidden: Sequence[str]) -> Found:
    place = RoutePlace(str(row["method"]), _without(urlsplit(str(row["path"])).path or "/", hidden))
    return RULES["HTTP Methods"].found("HTTP Methods", place, detail=f"Answered: {', '.join(names)}.")


def _answered(sentence: str) -> list[str]:
    """The unusual methods that were answered by something else than a refusal, as wapiti's sentence names them."""
    if sentence.startswith("HTTP TRACE method is allowed"):
        return ["TRACE"]
    told = _METHOD.findall(sentence.rpartition(": ")[2])
    return [f"{name} ({status})" for name, status in told if name in _UNUSUAL and int(status) < 400]


def _without(text: str, hidden: Sequence[str]) -> str:
    for value in hidden:
        text = text.replace(value, "***")
    return text


def refuse_incomplete(log: str, modules: Sequence[str], found: Sequence[Found]) -> None:
    """NotSeen when the log tells that a module did not run, broke or was cut short, or that pages were not reached."""
    records = [(match["level"], match["text"]) for match in _RECORD.finditer(log)]
    problem = next(_problems(records, modules), "")
    if problem:
        raise NotSeen(problem, remedy=_remedy(found), found=found)


def _remedy(found: Sequence[Found]) -> str:
    for rule, breaks in _BREAKING.items():
        places = [each.place for each in found if each.rule == rule]
        routes = sorted({place.route for place in places if isinstance(place, RoutePlace)})
        if routes:
            return f"{', '.join(routes)} {breaks}: mend that first, or leave it out (exclude); then run this again."
    return (
        "Give it more time in the plan (crawl_time, attack_time), name fewer modules, or see whether the application"
        " stands the scan; then run this again."
    )


def _problems(records: Sequence[tuple[str, str]], modules: Sequence[str]) -> Iterator[str]:
    texts = [text for _, text in records]
    for module in modules:
        if f"[*] Launching module {module}" not in texts:
            yield f"wapiti did not run its module {module}."
    module, route = "", ""
    for level, text in records:
        if text.startswith("[*] Launching module "):
            module, route = text.rpartition(" ")[2], ""
        elif attacked := _ATTACKED.match(text):
            route = urlsplit(attacked[1]).path
        elif text.startswith("Max scan time was reached"):
            yield "wapiti's time ended before it had found all pages."
        elif text.startswith("Max attack time was reached"):
            yield f"The time of wapiti's module {module} ended before it was done."
        elif skipped := _SKIPPED.match(text):
            yield f"wapiti's module {module} got no answer to {skipped[1]} requests."
        elif level in ("ERROR", "CRITICAL"):
            yield f"wapiti's module {module or 'for crawling'} broke at {route or 'its start'}: {text[:200]}"
