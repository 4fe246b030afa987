"""The providers of single sign-on. None so far."""
