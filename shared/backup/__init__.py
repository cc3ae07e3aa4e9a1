"""Backups: dump the database, restore it into an empty one, and prove by a drill that it can be restored."""
