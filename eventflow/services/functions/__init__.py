"""Functions that are made by Lambda's API: their code, versions, aliases, layers and settings."""

from eventflow.services.functions.ledger import Deployments, World
from eventflow.services.functions.names import Place
from eventflow.services.functions.store import Functions
from eventflow.services.functions.world import Neighbours

__all__ = ["Deployments", "Functions", "Neighbours", "Place", "World"]
