"""Visits: requests to the URL of a code, from a phone's camera or a bot. Counting them delays no redirect."""
