"""The version of this code, shown by /healthz and at the foot of each page."""

VERSION = "1.1"
