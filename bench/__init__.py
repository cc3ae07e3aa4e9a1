"""Benchmarks: every figure is a ratio against a named rival, which runs in turns with Waymark on the same stores."""
