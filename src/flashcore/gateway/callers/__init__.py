"""The gateway's end of the links of callers (`wire.calls`).

desk     who may open one, and what becomes of the jobs that come over it
link     one connection: frames in, answers out, its deadlines and its end
outbox   what a caller is to hear, until it is written
"""
