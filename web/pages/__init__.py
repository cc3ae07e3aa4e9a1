"""HTML pages: one module per slice."""
