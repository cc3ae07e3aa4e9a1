"""Encounters: puzzles that a scan hands out, answered and solved."""
