"""Checks of an installation for `waymark doctor`: each finding names a fault and its remedy."""
