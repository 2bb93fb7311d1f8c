"""What processes say to each other: frames, messages, the hello, call envelopes, protocol versions.

Standard library, and cloudpickle for what pickle refuses; imports only model.
"""
