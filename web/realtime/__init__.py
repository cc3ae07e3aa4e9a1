"""WebSockets and requests that wait for a verdict."""
