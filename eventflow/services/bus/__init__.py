"""Event buses: the rules of Amazon EventBridge."""

from eventflow.services.bus.routing import Doors
from eventflow.services.bus.store import Buses

__all__ = ["Buses", "Doors"]
