"""What processes say to each other: frames, messages, the hello, call envelopes, protocol versions.

Standard library; imports only model.
"""
