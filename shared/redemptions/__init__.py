"""Redemptions: a player shows a token at a service counter, and the item is handed out once."""
