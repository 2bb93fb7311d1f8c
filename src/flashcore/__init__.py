"""Serve Python functions as endpoints and ship new versions of them without dropping a request."""
