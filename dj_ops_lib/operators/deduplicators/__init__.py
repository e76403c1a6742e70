"""The deduplicators, one file each."""
