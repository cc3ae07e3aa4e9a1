"""The gunicorn worker class and its read deadlines."""
