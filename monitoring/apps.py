"""Django application configuration."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "monitoring"

    def ready(self) -> None:
        from monitoring import sources
        from monitoring.domain.alert import notify
        from monitoring.domain.probe import follow_plan
        from releases.domain import notice
        from releases.domain.application import register_plan_listener
        from releases.domain.gate import register_source

        register_source(sources.blockers_of)
        register_plan_listener(follow_plan)
        notice.register_teller(notify)
