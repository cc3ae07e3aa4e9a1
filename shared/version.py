"""The version of Waymark. A release sets it, with the tag and the changelog."""

__version__ = "0.1.0"
