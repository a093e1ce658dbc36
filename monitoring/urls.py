"""Addresses of monitoring."""

from django.urls import path

from monitoring.views import alert, incident, probe, watch

app_name = "monitoring"

urlpatterns = [
    path("", probe.overview, name="overview"),
    path("probes/<int:probe_id>/", probe.detail, name="probe"),
    path("incidents/", incident.incident_list, name="incident_list"),
    path("incidents/<int:incident_id>/", incident.detail, name="incident"),
    path("incidents/<int:incident_id>/acknowledge", incident.acknowledge, name="acknowledge"),
    path("releases/<uuid:release_id>/", watch.release_panel, name="release_panel"),
    path("releases/<uuid:release_id>/watch", watch.restart, name="watch_restart"),
    path("releases/<uuid:release_id>/test-alert", alert.send_test, name="test_alert"),
    path("receipts/<str:code>/", alert.receipt, name="receipt"),
]
