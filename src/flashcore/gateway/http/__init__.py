"""The HTTP/1.1 engine of the gateway's data path. It knows HTTP, and nothing of endpoints, jobs or control."""
