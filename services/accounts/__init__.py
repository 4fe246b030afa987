"""People: who they are, how they prove it, and what they may do. In plain Python, on the database of the system.

Every function takes the database, and where time matters the moment it is now, so that a test can move it.
"""
