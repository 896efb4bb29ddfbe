"""One change at a time against the baseline."""
