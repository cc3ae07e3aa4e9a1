"""Bulk renders: up to 100,000 images or labels in one file, rendered by all workers together."""
