"""What all tests share."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# How long an example takes is the machine's doing: nothing fails because one was slow.
settings.register_profile("eventflow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("eventflow")
