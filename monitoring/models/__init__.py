"""Probes, what they saw, incidents, and the alerts sent about them."""

from monitoring.models.alert import Alert, AlertDelivery
from monitoring.models.incident import Incident
from monitoring.models.probe import Probe, ProbeResult
from monitoring.models.watch import Watch

__all__ = ["Alert", "AlertDelivery", "Incident", "Probe", "ProbeResult", "Watch"]
