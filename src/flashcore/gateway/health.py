"""What /health says of a queue endpoint: all counts that RunPod's clients insist on."""

from __future__ import annotations

from flashcore.gateway.broker import Broker
from flashcore.gateway.routes import JobsRouting
from flashcore.model.job import JobStatus


async def health_document(broker: Broker, routing: JobsRouting) -> dict[str, dict[str, int]]:
    """Jobs by state, workers by what they do. Raises StateError."""
    name = routing.route.name
    counts = await broker.store.counts(name)
    jobs = counts.by_status
    present = [worker for worker in broker.books.of(name) if worker.link is not None and worker.listed]
    busy = sum(bool(worker.attempts) for worker in present)
    return {
        "jobs": {
            "completed": jobs.get(JobStatus.COMPLETED, 0),
            "failed": jobs.get(JobStatus.FAILED, 0) + jobs.get(JobStatus.TIMED_OUT, 0),
            "inProgress": jobs.get(JobStatus.IN_PROGRESS, 0),
            "inQueue": jobs.get(JobStatus.IN_QUEUE, 0),
            "retried": counts.retried,
        },
        "workers": {
            "idle": len(present) - busy,
            "initializing": broker.crew.door.count(name),
            "ready": len(present),
            "running": busy,
            "throttled": 0,
            "unhealthy": max(0, len(routing.listed) - len(present)),
        },
    }
