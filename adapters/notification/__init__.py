"""The channels that notifications go out by. None so far."""
