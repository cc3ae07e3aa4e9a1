"""Organizations, their members and roles."""
