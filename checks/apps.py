"""Django application configuration."""

from django.apps import AppConfig


class ChecksConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "checks"

    def ready(self) -> None:
        """Discover the kinds (a broken one stops the boot), and tell the domain what runs mean for its gate."""
        from checks import queries, system_checks
        from checks.findings import blocking
        from checks.kinds.base import discover
        from releases.domain import environment, gate

        discover()
        system_checks.register()
        gate.register_source(blocking.blockers_of)
        gate.register_activity(queries.activities)
        environment.register_occupant(queries.occupant)
