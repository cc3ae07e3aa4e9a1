"""Reviews: staff release or annul scans, see how a verdict came about, and simulate scans."""
