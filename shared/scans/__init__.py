"""Scans: accepted, judged by rules, settled once."""
