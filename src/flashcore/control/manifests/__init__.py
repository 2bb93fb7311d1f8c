"""Keeping an environment as a manifest says: the half of a mothership that decides and remembers.

record     what is remembered of each endpoint      plan        what is to be done, as values
naming     names that a test of a manifest uses     reconcile   doing it, one endpoint after the other
keeping    the manifest that counts, and a tested one
lasting    what a deployed mothership needs
"""
