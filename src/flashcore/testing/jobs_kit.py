"""What every job store has to do, for pytest and without it.

A store's whole test file:

    from flashcore.testing.jobs_kit import JobsKit

    class TestAcmeJobs(JobsKit):
        ref = "flashcore_acme.stores:AcmeStores"
        def url(self, folder): return f"acme://{folder}/jobs"

Checks about time let a second or two pass; a store whose clock can be moved overrides `subject` and says how.
"""

from __future__ import annotations

from flashcore.testing.state_kit import StoreKit, Subject, checks_of
from flashcore.testing.store_checks import jobs_attempts, jobs_lives, jobs_queue, jobs_streams, jobs_time, jobs_unfit

__all__ = ["JOB_CHECKS", "JobsKit", "Subject"]

JOB_CHECKS = checks_of(jobs_queue, jobs_attempts, jobs_streams, jobs_unfit, jobs_time, jobs_lives)


class JobsKit(StoreKit):
    """For job stores."""

    checks = JOB_CHECKS
