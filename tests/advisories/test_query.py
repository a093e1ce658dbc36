"""OSV's question and our answers: on the stack's own address, and on the one that a run opens for its tool."""

import json
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from checks import advisories
from checks.findings.fingerprints import severity_of
from checks.models import Advisory, AdvisoryPackage, Finding
from checks.tools.auditing.said import Severity
from config.asgi import application
from releases.enums import Role
from tests.advisories.support import BOUNDS, DJANGO, entry, imported, tar
from tests.factories import UserFactory, make_application, member
from tests.findings.support import package, report, scan

pytestmark = pytest.mark.django_db


def ask(name: str = "django", version: str = "5.0.1", **more: Any) -> tuple[int, Any]:
    body = {"package": {"name": name, "ecosystem": more.pop("ecosystem", "PyPI")}, "version": version}
    answer = Client(**more).post(
        "/v1/query", json.dumps(body), content_type="application/json", SERVER_NAME="127.0.0.1"
    )
    return answer.status_code, answer.json() if answer["Content-Type"] == "application/json" else None


def test_a_vulnerable_version_and_its_fix_are_told_and_a_safe_one_gets_an_empty_answer() -> None:
    imported(DJANGO, entry("PYSEC-9", "zope.interface", versions=["1.0"]))
    status, found = ask()
    assert (status, [one["id"] for one in found["vulns"]]) == (200, ["PYSEC-2024-1"])
    affected = found["vulns"][0]["affected"][0]
    assert affected["package"]["name"] == "django"  # pip-audit looks for the fix by this spelling
    assert affected["ranges"][0]["events"][1]["fixed"] == "5.0.3"
    assert ask(version="5.0.3") == (200, {})
    assert ask("requests") == (200, {})
    assert len(ask("Zope_Interface", "1.0.0")[1]["vulns"]) == 1
    assert len(ask(version="")[1]["vulns"]) == 1


def test_nothing_imported_is_an_error_and_never_no_vulnerabilities() -> None:
    status, said = ask()
    assert (status, said["code"]) == (503, 14)
    imported(DJANGO)
    assert ask("left-pad", "1.0.0", ecosystem="npm")[0] == 503
    AdvisoryPackage.objects.all().delete()  # the rows are gone though an import is remembered
    assert ask()[0] == 503


def test_a_question_nobody_can_answer_is_refused() -> None:
    imported(DJANGO)
    assert ask(version="not a version")[0] == 400
    for body in ("{", "[]", '{"commit": "abc"}', '{"package": {"name": 1, "ecosystem": "PyPI"}}', "[" * 15_000,
                 '{"package": {"name": "a\\u0000", "ecosystem": "PyPI"}, "version": "1"}', "x" * 20_000):  # fmt: skip
        answer = Client().post("/v1/query", body, content_type="application/json", SERVER_NAME="127.0.0.1")
        assert answer.status_code == 400, body[:50]


@pytest.mark.parametrize(
    "headers",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
    ],
)
def test_only_this_machine_is_answered_without_a_log_in(headers: dict[str, str]) -> None:
    imported(DJANGO)
    assert ask(**headers)[0] == 404
    assert Client().get("/v1/query", SERVER_NAME="127.0.0.1").status_code == 405


def test_another_name_of_the_machine_is_not_answered(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["gonogo.example.test"]
    assert (
        Client().post("/v1/query", "{}", content_type="application/json", SERVER_NAME="gonogo.example.test").status_code
        == 404
    )


def test_a_fix_that_is_no_version_is_left_out_of_what_is_served() -> None:
    imported(entry("PYSEC-8", "odd", events=[{"introduced": "0"}, {"fixed": "2019-09-xx"}]))
    assert ask("odd", "1.0")[1]["vulns"][0]["affected"][0]["ranges"][0]["events"] == [{"introduced": "0"}]


def test_a_question_takes_one_query_and_two_where_nothing_is_known() -> None:
    imported(*(entry(f"A-{n}", events=BOUNDS) for n in range(30)))
    with CaptureQueriesContext(connection) as seen:
        assert len(ask()[1]["vulns"]) == 30
    assert len(seen) == 1
    with CaptureQueriesContext(connection) as seen:
        assert ask("unheard-of") == (200, {})
    assert len(seen) == 2


def test_a_question_meets_nothing_that_looks_for_a_session_or_a_person(settings: Any) -> None:
    imported(DJANGO)
    settings.SECURE_SSL_REDIRECT = True
    body = json.dumps({"package": {"name": "django", "ecosystem": "PyPI"}, "version": "4.0"})
    answer = Client().post("/v1/query", body, content_type="application/json", SERVER_NAME="127.0.0.1")
    assert (answer.status_code, len(answer.json()["vulns"]), answer.cookies) == (200, 1, {})
    assert answer["X-Request-ID"]
    assert not [name for name in ("session", "user", "csp_nonce", "htmx") if hasattr(answer.wsgi_request, name)]


@pytest.mark.django_db(transaction=True)
async def test_it_is_answered_as_the_web_server_asks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # The thread of a request ends with it, and so must its connection; the web server hands it back to a pool.
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    await sync_to_async(imported)(DJANGO)
    body = {"package": {"name": "django", "ecosystem": "PyPI"}, "version": "4.0"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://127.0.0.1") as client:
        answer = await client.post("/v1/query", json=body)
    assert (answer.status_code, len(answer.json()["vulns"])) == (200, 1)


@pytest.mark.django_db(transaction=True)
def test_a_run_opens_it_for_its_tool_alone() -> None:
    imported(DJANGO)
    body = {"package": {"name": "django", "ecosystem": "PyPI"}, "version": "4.0"}
    with advisories.served() as url:
        with httpx.Client() as client:
            assert client.post(url, json=body).json()["vulns"][0]["id"] == "PYSEC-2024-1"
            assert client.post(url, content=b"{").status_code == 400
            assert client.post(url.replace("/v1/", "x/v1/"), json=body).status_code == 404
        Advisory.objects.all().delete()
        assert httpx.post(url, json=body).status_code == 503
    with pytest.raises(httpx.ConnectError):
        httpx.post(url, json=body)


def test_the_page_shows_the_age_and_takes_an_archive_from_an_administrator() -> None:
    application = make_application()
    administrator, engineer = Client(), Client()
    administrator.force_login(
        member(application, Role.ADMINISTRATOR), backend="django.contrib.auth.backends.ModelBackend"
    )
    engineer.force_login(member(application, Role.ENGINEER), backend="django.contrib.auth.backends.ModelBackend")
    page = reverse("checks:advisories")
    assert "Nothing was imported" in engineer.get(page).content.decode()

    def upload(client: Client, data: bytes) -> Any:
        return client.post(page, {"archive": SimpleUploadedFile("a.tar.gz", data)}, follow=True)

    assert upload(engineer, tar({"a.json": DJANGO}).read()).status_code == 404
    assert upload(administrator, b"x").status_code == 422
    assert "1 advisories count now" in upload(administrator, tar({"a.json": DJANGO}).read()).content.decode()
    shown = engineer.get(page).content.decode()
    assert "are old" in shown
    assert "Older than 7 days" in shown
    assert "are old" in engineer.get(reverse("checks:findings", args=[application.slug])).content.decode()
    stranger = Client()
    stranger.force_login(UserFactory(), backend="django.contrib.auth.backends.ModelBackend")
    assert stranger.get(page).status_code == 200  # published data, about no application


def test_findings_learn_other_ids_and_the_severity_from_what_was_imported() -> None:
    vector = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
    application = make_application()
    bare = package("Django", "PYSEC-2024-1", severity=Severity.UNKNOWN)
    by_cve = package("django", "CVE-2024-1", severity=Severity.UNKNOWN)
    scan(application, report("a", bare), report("b", by_cve))
    assert Finding.objects.count() == 2
    imported({**DJANGO, "severity": vector}, entry("GHSA-flask", "flask", database_specific={"severity": "MODERATE"}))
    recorded, _ = scan(
        application, report("a", bare), report("b", by_cve, package("flask", "GHSA-flask", severity=Severity.UNKNOWN))
    )
    assert len(recorded.still_there) == 1
    django = Finding.objects.get(joined_into=None, place__name="django")
    assert (django.severity, django.cvss, len(django.aliases)) == ("critical", 9.8, 3)
    assert Finding.objects.get(place__name="flask").severity == "medium"
    assert severity_of(bare) is Severity.UNKNOWN
