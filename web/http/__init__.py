"""Requests and responses: what any web service has. It knows no feature."""
