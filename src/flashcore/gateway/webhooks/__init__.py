"""Webhooks: who submitted a job is told of its end, by a POST of its status to a URL of theirs.

destination  which URLs are taken, and which addresses are called
spool        what is owed, on disk before the submission is answered
delivery     sends it, again if need be, and never in the way of a job
"""
