"""The audit log: who changed what, from where, with old and new values."""
