"""Images of QR codes: what may be rendered, rendering to PNG, SVG and PDF, and verification by decoding."""
