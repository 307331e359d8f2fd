"""DynamoDB's tables on SQLite: definitions, items, secondary indexes, conditional writes, queries, scans and batches."""

from eventflow.services.tables.tables import Tables

__all__ = ["Tables"]
