"""Settings that hold for every test."""

from hypothesis import settings

# A loaded two-core machine takes 300 ms for what usually takes 2 (2026-11-22).
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
