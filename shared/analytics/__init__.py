"""Statistics of scans and visits."""
