"""What stores of one process share, memory and SQLite alike."""
