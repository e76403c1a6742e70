"""The splitters, one file each."""
