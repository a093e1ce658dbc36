"""Known faults, planted in copies, to see whether the checks of a plan say no."""
