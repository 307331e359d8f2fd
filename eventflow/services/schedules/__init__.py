"""EventBridge Scheduler: schedules that invoke a target at the instants of an expression, once for each."""

from eventflow.services.schedules.store import Schedules, Targets
from eventflow.services.schedules.targets import DaemonTargets

__all__ = ["DaemonTargets", "Schedules", "Targets"]
