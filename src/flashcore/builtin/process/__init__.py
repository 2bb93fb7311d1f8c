"""The pieces of the provider `process`: one replica is one process group on this machine."""
