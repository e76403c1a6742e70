"""The annotators, one file each."""
