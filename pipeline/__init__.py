"""The shared library: everything that more than one stage needs."""
