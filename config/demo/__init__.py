"""One go-live from beginning to end, walked through the running program by its own pages and log-ins."""
