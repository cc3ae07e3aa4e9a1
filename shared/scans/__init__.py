"""Scans: accepted as pending rows, judged by pure rules, settled once."""
