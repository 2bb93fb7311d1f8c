"""The controller: goal -> rollout -> replicas."""
