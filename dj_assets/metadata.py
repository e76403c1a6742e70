"""Event metadata: the only place that builds what Dagster stores and shows of a materialization.

Numbers first (Dagster plots them over shards and runs), then one small table
(the funnel), then a histogram a statistic. Everything passes through `bounded`,
because the event log keeps every event for ever, the UI fetches up to 120 of
them whole for a plot, and 36,000 events of 24 KB took 852 MB (measured
2026-11). Pictures are drawn in `charts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from dj_assets import charts
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.histograms import Histogram
from dj_ops_lib.report import FunnelStep, Redecided, StageReport

if TYPE_CHECKING:
    from dj_ops_lib.sources.manifest import Manifest

CHART_BYTES = 16 * 1024
"""Largest chart, as the markdown that Dagster stores."""

EVENT_BYTES = 64 * 1024
"""Largest metadata of one event, as Dagster stores it."""

SHARD_BYTES = 24 * 1024
"""What a shard's event may hold before charts are left out.

The stages of the demo take 10 to 18 KB (2026-11-22): 8 to 10 KB for the columns, which Dagster
stores at 200 bytes each, 1.5 KB for the funnel and 1 KB for each chart."""

Metadata = dict[str, dg.MetadataValue]


def column_schema(schema: pa.Schema, *, described: bool) -> dg.MetadataValue:
    """The columns of a table.

    Args:
        schema: Arrow schema; a field's `description` metadata is its description.
        described: With descriptions and constraints, for definitions. Events leave them out: the
            UI takes them from the definition, and a third of the bytes is saved.
    """
    columns = []
    for field in schema:
        text = (field.metadata or {}).get(b"description")
        columns.append(
            dg.TableColumn(
                field.name,
                str(field.type),
                description=text.decode() if text and described else None,
                constraints=dg.TableColumnConstraints(nullable=field.nullable)
                if described
                else None,
            )
        )
    return dg.MetadataValue.table_schema(dg.TableSchema(columns))


def of_definition(table: str, schema: pa.Schema) -> Metadata:
    """What is known of a table before anything runs."""
    return bounded(
        {
            "dagster/table_name": dg.MetadataValue.text(table.replace("/", ".")),
            "dagster/column_schema": column_schema(schema, described=True),
        },
        limit=EVENT_BYTES,
    )


def of_shard(
    report: StageReport, address: str, schema: pa.Schema, *, taken_down: int = 0
) -> Metadata:
    """What one stage did to one shard.

    Args:
        report: The stage's own account.
        address: Path or URI of the table.
        schema: Schema of the table as it was written.
        taken_down: Rows that were not written, because they were taken down.
    """
    rejected, errors = sum(report.rejected.values()), sum(report.errors.values())
    decided = report.kept + rejected + errors
    metadata: Metadata = {
        "dagster/partition_row_count": dg.MetadataValue.int(report.rows_out - taken_down),
        "rows_in": dg.MetadataValue.int(report.rows_in),
        "rows_kept": dg.MetadataValue.int(report.kept),
        "rows_rejected": dg.MetadataValue.int(rejected),
        "rows_error": dg.MetadataValue.int(errors),
        "rows_split": dg.MetadataValue.int(report.split),
        "rows_measured": dg.MetadataValue.int(report.measured),
        "rows_reused": dg.MetadataValue.int(report.reused),
        "video_seconds": dg.MetadataValue.float(round(report.video_seconds, 3)),
        "wall_seconds": dg.MetadataValue.float(round(report.wall_seconds, 3)),
        "cpu_seconds": dg.MetadataValue.float(round(report.cpu_seconds, 3)),
        "table_version": dg.MetadataValue.int(report.version),
    }
    if decided:
        metadata["keep_rate"] = dg.MetadataValue.float(round(report.kept / decided, 4))
    for how, number in sorted(report.files.items()):
        metadata[f"files_{how}"] = dg.MetadataValue.int(number)
    if taken_down:
        metadata["rows_taken_down"] = dg.MetadataValue.int(taken_down)
    if report.errors:
        classes = sorted(report.errors.items(), key=lambda e: (-e[1], e[0]))
        metadata["error_classes"] = dg.MetadataValue.text(_listed(classes))
    if report.redecided:
        dropped = sum(r.dropped for r in report.redecided)
        restored = sum(r.restored for r in report.redecided)
        metadata["rows_dropped_elsewhere"] = dg.MetadataValue.int(dropped)
        metadata["rows_restored_elsewhere"] = dg.MetadataValue.int(restored)
    metadata["funnel"] = funnel_table(report.funnel)
    metadata["dagster/table_name"] = dg.MetadataValue.text(report.table.replace("/", "."))
    metadata["dagster/uri"] = dg.MetadataValue.text(address)
    charted = histogram_charts(report.histograms, report.thresholds)
    schema_entry = {"dagster/column_schema": column_schema(schema, described=False)}
    return bounded(metadata | schema_entry | charted, limit=SHARD_BYTES, optional=list(charted))


_OF_THE_RUN = ("rows_measured", "rows_reused", "wall_seconds", "cpu_seconds")


def of_redecided(
    before: Mapping[str, dg.MetadataValue],
    change: Redecided,
    rows: pa.Table,
    report: StageReport,
    histograms: Sequence[Histogram],
) -> Metadata:
    """What is known of a shard in which another one has changed which copies are kept.

    Args:
        before: The shard's metadata until then.
        change: What was changed.
        rows: Its rows now.
        report: What was done to the shard that changed it.
        histograms: Those of its rows now.
    """
    fewer = change.dropped - change.restored
    kept = rows.filter(rows["keep"])
    rejected = int(str(before["rows_rejected"].value)) + fewer
    seconds = pc.sum(kept["duration_s"]).as_py() or 0.0
    numbers: Metadata = {
        "rows_kept": dg.MetadataValue.int(change.kept),
        "rows_rejected": dg.MetadataValue.int(rejected),
        "video_seconds": dg.MetadataValue.float(round(seconds, 3)),
        "table_version": dg.MetadataValue.int(change.version),
    }
    if "keep_rate" in before and rows.num_rows:
        rate = change.kept / rows.num_rows
        numbers["keep_rate"] = dg.MetadataValue.float(round(rate, 4))
    funnel = before.get("funnel")
    if isinstance(funnel, dg.TableMetadataValue):
        *steps, last = (dict(record.data) for record in funnel.records)
        last["rejected"] = int(last["rejected"] or 0) + fewer
        last["rows out"] = int(last["rows out"] or 0) - fewer
        records = [dg.TableRecord(step) for step in (*steps, last)]
        numbers["funnel"] = dg.MetadataValue.table(records, funnel.schema)
    charted = histogram_charts([h for h in histograms if h.values], report.thresholds)
    facts = {f"histogram/{name}" for name in CLIP_SCHEMA.names}
    charted = {k: v for k, v in charted.items() if k in before or k not in facts}
    kept_entries = {k: v for k, v in before.items() if k not in _OF_THE_RUN}
    return bounded(kept_entries | numbers | charted, limit=SHARD_BYTES, optional=list(charted))


def of_manifest(
    manifest: Manifest, source: str, address: str, folder: str, registered: Sequence[str]
) -> Metadata:
    """What indexing the annotation files found.

    Args:
        manifest: The index.
        source: Name of the source.
        address: Path or URI of the manifest's table.
        folder: Where the annotation files are.
        registered: Shards that were not known as partitions before.
    """
    columns = [dg.TableColumn("file"), dg.TableColumn("sha256")]
    records = [dg.TableRecord({"file": f, "sha256": h}) for f, h in manifest.files.items()]
    changed = ", ".join(manifest.changed[:50]) + (", ..." if len(manifest.changed) > 50 else "")
    return bounded(
        {
            "dagster/row_count": dg.MetadataValue.int(len(manifest.shards)),
            "entries": dg.MetadataValue.int(sum(manifest.rows.values())),
            "shards": dg.MetadataValue.int(len(manifest.shards)),
            "shards_registered": dg.MetadataValue.int(len(registered)),
            "shards_changed": dg.MetadataValue.int(len(manifest.changed)),
            "changed": dg.MetadataValue.text(changed or "nothing"),
            "shards_retired": dg.MetadataValue.int(len(manifest.retired)),
            "table_version": dg.MetadataValue.int(manifest.version),
            "files": dg.MetadataValue.table(records, dg.TableSchema(columns)),
            "annotations": dg.MetadataValue.path(folder),
            "dagster/table_name": dg.MetadataValue.text(f"{source}.manifest"),
            "dagster/uri": dg.MetadataValue.text(address),
        },
        limit=EVENT_BYTES,
    )


def histogram_charts(
    histograms: Sequence[Histogram], thresholds: Mapping[str, charts.Thresholds]
) -> Metadata:
    """The histograms as pictures that the UI shows.

    Those with a threshold come first: they are what a threshold is chosen by.
    """
    none: charts.Thresholds = (None, None)
    by_weight = sorted(histograms, key=lambda h: thresholds.get(h.column, none) == none)
    return {
        f"histogram/{h.column}": dg.MetadataValue.md(
            charts.histogram_markdown(h, thresholds.get(h.column, none))
        )
        for h in by_weight
    }


def funnel_table(steps: Sequence[FunnelStep]) -> dg.MetadataValue:
    """What each operator did to the rows that reached it, in the order of the recipe."""
    names = ("operator", "rows in", "rejected", "errors", "rows out")
    records = [
        dg.TableRecord(
            dict(zip(names, (s.operator, s.rows_in, s.rejected, s.errors, s.rows_out), strict=True))
        )
        for s in steps
    ]
    columns = [dg.TableColumn(n, "string" if n == "operator" else "int") for n in names]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def bounded(
    metadata: Mapping[str, dg.MetadataValue], *, limit: int, optional: Sequence[str] = ()
) -> Metadata:
    """`metadata` within the size budget.

    Charts above `CHART_BYTES` go first, then the `optional` entries from the last one on until
    the rest fits into `limit`, then the largest entries until it fits into `EVENT_BYTES`. What
    went is named in the entry `left_out`: it can be had from the table.
    """
    sizes = {k: stored_bytes({k: v}) for k, v in metadata.items()}
    out = [
        k
        for k, v in metadata.items()
        if isinstance(v, dg.MarkdownMetadataValue) and sizes[k] > CHART_BYTES
    ]
    reserve = 200 + sum(len(k) + 2 for k in metadata)

    def total() -> int:
        return sum(s for k, s in sizes.items() if k not in out) + (reserve if out else 0)

    for name in reversed(optional):
        if total() <= limit:
            break
        if name not in out:
            out.append(name)
    for name in sorted(sizes, key=lambda k: -sizes[k]):
        if total() <= EVENT_BYTES:
            break
        if name not in out:
            out.append(name)
    fitting = {k: v for k, v in metadata.items() if k not in out}
    if out:
        fitting["left_out"] = dg.MetadataValue.text(", ".join(sorted(out))[: EVENT_BYTES // 4])
    return fitting


def stored_bytes(metadata: Mapping[str, dg.MetadataValue]) -> int:
    """Bytes that Dagster stores for these entries."""
    return sum(len(k.encode()) + len(dg.serialize_value(v).encode()) for k, v in metadata.items())


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts)
