"""Names of the folders beside the tables."""

SPOOL = "_results_spool"
"""Results that no table holds yet."""

JOBS = "_jobs"
"""Reports of jobs that are done."""
