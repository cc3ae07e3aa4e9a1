"""Generated codes: images of any text, rendered on request and stored until they expire."""
