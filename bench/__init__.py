"""Benchmarks: every figure is a ratio against a named rival that runs beside us, in turns, on the same stores."""
