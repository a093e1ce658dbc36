"""Load: what is generated (in a child, by Locust), what is recorded of it, and what the record says."""
