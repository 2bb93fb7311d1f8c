"""Values only: names, declarations, revisions, replicas, deployments, jobs, tables, events, errors.

Standard library; imports nothing of ours.
"""
