from unittest import mock

from django.db import OperationalError
from django.test import TestCase

from thinkincoin.version import VERSION


class HealthTests(TestCase):
    def test_it_tells_the_version_and_that_the_database_answers(self) -> None:
        response = self.client.get("/healthz")
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), {"status": "ok", "version": VERSION, "database": "ok"})

    def test_it_is_never_cached(self) -> None:
        self.assertIn("no-store", self.client.get("/healthz").headers["Cache-Control"])

    def test_it_answers_503_when_the_database_is_gone(self) -> None:
        with (
            mock.patch("thinkincoin.health.connection.cursor", side_effect=OperationalError("gone")),
            self.assertLogs("thinkincoin.health", "ERROR"),
        ):
            response = self.client.get("/healthz")
        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json()["database"], "unreachable")
