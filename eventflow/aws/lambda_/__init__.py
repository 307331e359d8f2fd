"""Lambda's operations, handed to the dispatcher."""

from eventflow.aws.lambda_.service import LambdaService

__all__ = ["LambdaService"]
