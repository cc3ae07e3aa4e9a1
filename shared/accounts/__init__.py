"""Players, their credentials, and their logins (refresh families)."""
