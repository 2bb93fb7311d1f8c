"""What runs inside a replica, and the factories that generated handlers call. It travels inside artifacts."""
