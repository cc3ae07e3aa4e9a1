"""Imports: many codes at once, from a CSV file or a list. And their export to CSV."""
