"""The night fills what is missing, all stages in one go, and starts nothing else."""

from __future__ import annotations

import datetime as dt

import dagster as dg

EVENING = dt.datetime(2026, 11, 22, 23, 0, tzinfo=dt.UTC)
NIGHT = dt.datetime(2026, 11, 23, 2, 5, tzinfo=dt.UTC)
STAGES = ["raw", "media", "t2v/clips", "t2v/cleaned", "t2v/deduplicated"]
STAGES += ["strict/clips", "strict/cleaned", "strict/deduplicated"]


def requested(result) -> dict[str, set[str]]:
    """Shards asked for, by asset; assets of which nothing is asked for are left out."""
    found = {}
    for evaluation in result.results:
        shards = set(evaluation.true_subset.expensively_compute_partition_keys())
        if shards:
            found[evaluation.key.to_user_string()] = shards
    return found


def test_the_night_fills_missing_shards_of_all_stages_and_the_day_does_nothing(
    definitions, instance
):
    job = definitions.resolve_implicit_global_asset_job_def()
    manifest = [dg.AssetKey(["msr_vtt", "manifest"])]
    job.execute_in_process(instance=instance, asset_selection=manifest)
    raw = [dg.AssetKey(["msr_vtt", "raw"])]
    job.execute_in_process(instance=instance, asset_selection=raw, partition_key="00000")

    evening = dg.evaluate_automation_conditions(definitions, instance, evaluation_time=EVENING)
    assert requested(evening) == {}
    night = dg.evaluate_automation_conditions(
        definitions, instance, evaluation_time=NIGHT, cursor=evening.cursor
    )
    everything = {f"msr_vtt/{stage}": {"00000", "00001"} for stage in STAGES}
    assert requested(night) == everything | {"msr_vtt/raw": {"00001"}}
    later = dg.evaluate_automation_conditions(
        definitions, instance, evaluation_time=NIGHT + dt.timedelta(minutes=1), cursor=night.cursor
    )
    assert requested(later) == {}


def test_nothing_is_asked_for_before_the_manifest_is_there(definitions, instance):
    instance.add_dynamic_partitions("msr_vtt_shards", ["00000"])
    evening = dg.evaluate_automation_conditions(definitions, instance, evaluation_time=EVENING)
    night = dg.evaluate_automation_conditions(
        definitions, instance, evaluation_time=NIGHT, cursor=evening.cursor
    )
    assert requested(night) == {}


def test_the_sensor_is_off_until_somebody_turns_it_on(definitions):
    sensor = definitions.get_sensor_def("nightly")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
