"""Bulk renders: thousands of pictures or label sheets, made by every worker together, as one file."""
