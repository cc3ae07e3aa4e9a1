"""Codes: the QR codes of an organization, when they can be used and what they give."""
