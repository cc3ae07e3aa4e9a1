"""Reviews: what staff do about scans that were held, and how a verdict came about."""
