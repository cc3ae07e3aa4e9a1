"""Visits: who follows a printed code with a phone's own camera, counted without holding anybody up."""
