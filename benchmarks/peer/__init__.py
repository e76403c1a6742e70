"""Data-Juicer, the released peer: its environment, and comparing operators with its own."""
