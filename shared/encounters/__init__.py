"""Encounters: puzzles that a scan opens and a player solves."""
