"""The single-file script of a Recovery Kit. It is data to this program: nothing imports it."""
