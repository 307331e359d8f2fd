"""AWS's names of what a CORS configuration of an HTTP API or a function URL says, and the names of the same settings here."""

from __future__ import annotations

from collections.abc import Mapping

CORS_MEMBERS: Mapping[str, str] = {
    "AllowOrigins": "allow_origins",
    "AllowMethods": "allow_methods",
    "AllowHeaders": "allow_headers",
    "ExposeHeaders": "expose_headers",
    "MaxAge": "max_age",
    "AllowCredentials": "allow_credentials",
}
