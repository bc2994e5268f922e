"""Gunicorn and its connections: the only folder that knows gunicorn."""
