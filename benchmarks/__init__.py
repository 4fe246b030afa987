"""Measurements of the program beside the tools it is compared with. Nothing here asserts a time."""
