"""Codes: what is printed, where it counts, and what it gives."""
