"""What every state backend and job store has to do, as coroutines that need no test framework.

The kits `flashcore.testing.state_kit` and `flashcore.testing.jobs_kit` list them and hand them to pytest.
"""
