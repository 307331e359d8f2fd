"""Event source mappings made by Lambda's API: their records, and the pollers that run for them."""

from eventflow.services.mappings.store import Mappings, Surroundings

__all__ = ["Mappings", "Surroundings"]
