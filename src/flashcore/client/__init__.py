"""What user code imports: endpoints are declared here, and their functions are called through it."""
