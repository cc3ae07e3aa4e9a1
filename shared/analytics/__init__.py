"""What was scanned, counted."""
