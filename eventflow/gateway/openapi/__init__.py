"""OpenAPI documents: of the APIs that are there, and APIs of documents."""
