"""Property tests here are never failed for being slow: how fast a machine is proves nothing."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
