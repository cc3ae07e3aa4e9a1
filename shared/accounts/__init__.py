"""Players, credentials, sessions, external identities, erasure and export."""
