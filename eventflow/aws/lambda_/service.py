"""Lambda's API: the functions of the application, and those that are made by it."""

from __future__ import annotations

from eventflow.aws.lambda_.events import EventOperations
from eventflow.aws.lambda_.functions import FunctionOperations
from eventflow.aws.lambda_.invoke import InvokeOperations
from eventflow.aws.lambda_.layers import LayerOperations
from eventflow.aws.lambda_.mappings import MappingOperations
from eventflow.aws.lambda_.provisioned import ProvisionedOperations
from eventflow.aws.lambda_.shared import SharedOperations
from eventflow.aws.lambda_.urls import UrlOperations
from eventflow.aws.lambda_.versions import VersionOperations
from eventflow.aws.operation import operations_of
from eventflow.aws.snapshots import Snapshots
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.dispatcher import Dispatcher
from eventflow.services.functions import Functions

RUNTIME = "python3.11"


class LambdaService(
    FunctionOperations,
    InvokeOperations,
    VersionOperations,
    LayerOperations,
    SharedOperations,
    EventOperations,
    UrlOperations,
    MappingOperations,
    ProvisionedOperations,
):
    """``runtime`` is what the application's functions run on, ``loaded_at`` when they were loaded."""

    name = "lambda"

    def __init__(self, functions: Functions, dispatcher: Dispatcher, concurrency: Concurrency, loaded_at: str, runtime: str = RUNTIME) -> None:
        self.functions = functions
        self.dispatcher = dispatcher
        self.concurrency = concurrency
        self.place = functions.place
        self.snapshots = Snapshots(functions.ledger.code)
        self.loaded_at = loaded_at
        self.runtime = runtime
        self.operations = operations_of(self)
