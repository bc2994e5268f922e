"""The endpoints that cargo asks."""
