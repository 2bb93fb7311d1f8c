"""What the SQLite stores are made of.

place.py    the file behind a URL, made with the owner's rights only
lock.py     one process owns a file for as long as it lives
schema.py   numbered migrations; what is newer, damaged or not ours is refused and left as it is
faults.py   what SQLite and the disk say, in our words
writer.py   the one thread with the one connection; group commit
turns.py    that thread and the event loop, on the connection by turns
clock.py    the store's clock, with its mark in the file
recent.py   the last commits, for watches that are up to date
blobs.py    payloads too large for a row, as files named by their content
migrations/ the schemas, as SQL
"""
