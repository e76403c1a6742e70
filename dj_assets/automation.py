"""What Dagster starts by itself: one sensor that fills missing shards at night.

Off until someone turns it on in the UI. It asks for every shard of every stage
that was never made and whose input is there or is made in the same go; more
than one becomes a backfill, so `partitions.backfill_policy` holds. Shards that
failed are tried again the next night. A changed threshold starts nothing: who
changes a recipe decides when to spend the machines on it.
"""

from __future__ import annotations

import os

import dagster as dg

CRON = os.environ.get("DJ_NIGHTLY_CRON", "0 2 * * *")
"""When, in UTC; `DJ_NIGHTLY_CRON`, default two o'clock at night."""


def fill_missing() -> dg.AutomationCondition[dg.AssetKey]:
    """True once a night for a shard that is missing, can be made and is not being made."""
    return (
        dg.AutomationCondition.cron_tick_passed(CRON)
        & dg.AutomationCondition.missing()
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("missing at night")


def nightly() -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the assets' conditions every minute; off by default."""
    return dg.AutomationConditionSensorDefinition(
        "nightly",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=60,
        description="Makes the shards that are missing, once a night.",
    )
