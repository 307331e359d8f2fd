"""One suite for two servers: what boto3 sees of this endpoint and of moto's, and the page that says which operations are there.

``make conformance`` runs the tests here against eventflow, ``make conformance PEER=moto`` against moto's server; where moto is known to differ, the
test says so with ``moto_differs("why")`` and must fail there. ``python -m tests.aws.conformance`` writes docs/conformance.md.
"""

from __future__ import annotations

import pytest

#: Marks a test of which moto's answer is known to be another than AWS's: expected to fail there, strictly.
moto_differs = pytest.mark.moto_differs
