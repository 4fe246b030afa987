"""A folder for ``PYTHONPATH``: programs that have it there stop at chosen steps."""
