"""Pictures of QR symbols: rules for what may be drawn, the drawing in PNG, SVG and PDF, and the reading back."""
