"""Moving user data between two databases by a declared mapping: staged, matched, checked, moved, proven, undone."""
