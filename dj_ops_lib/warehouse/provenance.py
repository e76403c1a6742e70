"""What every commit says about itself: who wrote which shard, from what, how.

Here: the record and its JSON form, which travels inside the Lance transaction
and so becomes visible in the same instant as the rows. Not here: how commits
are made (`commit.py`) and read back (`history.py`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

PROPERTY = "dj"
"""Key of the JSON record among a Lance transaction's properties."""


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorUse:
    """One operator of a stage, with all parameters: what `explain` tells about a clip.

    Attributes:
        operator: Name of the operator, or of the step where no operator ran (`ingest`, `media`).
        parameters: Its parameters as JSON values.
        version: The operator's `version`.
        digest: Of what it measures; with a clip's signature the name of a result.
        rows_in: Rows that reached it.
        rejected: Rows that it rejected.
        measured: Clips that it measured for this commit.
        seconds: CPU seconds spent in it, without decoding.
        pass_seconds: CPU seconds of the passes that it took part in, decoding included.
    """

    operator: str
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: str = "1"
    digest: str = ""
    rows_in: int = 0
    rejected: int = 0
    measured: int = 0
    seconds: float = 0.0
    pass_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Provenance:
    """Where the rows of one commit come from.

    Attributes:
        run_id: Id of the run that wrote them.
        source: Name of the dataset.
        stage: Name of the stage.
        shard: Name of the shard; empty for a whole table.
        recipe: Name of the recipe; empty for stages of a source.
        recipe_hash: Hash of the recipe as written.
        measuring_fingerprint: Hash of what the stage measures, without thresholds.
        input_table: Table that was read, None where annotation files were.
        input_version: Its version.
        code_version: Version of the code.
        rows_in: Rows that entered the stage.
        rows_out: Rows written; the warehouse counts them and fills this in.
        rows_withheld: Rows given that were not written, because they were taken down; likewise.
        rows_kept: Rows written whose `keep` is true; likewise.
        errors: Rows written by their error's class; likewise.
        operators: The stage's operators in recipe order.
        reason: Why rows were decided again, where it is not the stage that was run over the shard:
            the rest is then that of the commit before, but for `run_id` and `code_version`.
    """

    run_id: str = ""
    source: str = ""
    stage: str = ""
    shard: str = ""
    recipe: str = ""
    recipe_hash: str = ""
    measuring_fingerprint: str = ""
    input_table: str | None = None
    input_version: int | None = None
    code_version: str = ""
    rows_in: int = 0
    rows_out: int = 0
    rows_withheld: int = 0
    rows_kept: int = 0
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    operators: tuple[OperatorUse, ...] = ()
    reason: str = ""

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Provenance:
        """The provenance stored as a JSON object."""
        own = _known(cls, record)
        own["operators"] = tuple(
            OperatorUse(**_known(OperatorUse, o)) for o in record.get("operators", ())
        )
        return cls(**own)


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """One version of a table.

    Attributes:
        version: Number of the version.
        kind: `create`, `replace`, `overwrite`, `takedown`, `restore`, or the name of Lance's own
            operation for maintenance and schema changes, such as `Rewrite`.
        at: When it was made, UTC; None where Lance itself made it.
        provenance: Where its rows come from; None for maintenance.
        details: What else the kind needs, such as the restored version.
        histograms: How the statistics of each shard that it wrote, or took rows from, are
            distributed, as `histograms.Histogram.to_record` tells; None where nobody counted.
    """

    version: int
    kind: str
    at: dt.datetime | None = None
    provenance: Provenance | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    histograms: Mapping[str, Sequence[Mapping[str, Any]]] | None = None

    @property
    def changes_rows(self) -> bool:
        """Whether rows were put in or taken out, rather than stored or described differently."""
        return self.kind in {"replace", "overwrite", "takedown", "restore"}

    @property
    def shard(self) -> str | None:
        """The shard that was replaced, if one was."""
        return self.provenance.shard if self.provenance and self.kind == "replace" else None

    @property
    def taken_from(self) -> Mapping[str, int]:
        """Rows that left shards of an older layout for this one, by their names."""
        took: Mapping[str, int] = self.details.get("took", {})
        return took


def _known(kind: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version knows: another one may have written the record."""
    names = {f.name for f in dataclasses.fields(kind)}
    return {k: v for k, v in record.items() if k in names}


def encode(
    kind: str,
    provenance: Provenance | None = None,
    histograms: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    **details: Any,
) -> dict[str, str]:
    """Transaction properties that record a commit of `kind` made now."""
    record: dict[str, Any] = {
        "kind": kind,
        "at": dt.datetime.now(dt.UTC).isoformat(),
        "provenance": dataclasses.asdict(provenance) if provenance else None,
        "details": details,
    }
    if histograms is not None:
        record["histograms"] = histograms
    # Without spaces the counts take two thirds of the bytes.
    text = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return {PROPERTY: text}


def decode(version: int, properties: Mapping[str, str] | None, operation: str) -> Commit:
    """The commit that made `version`, from its transaction.

    Args:
        version: The version that the transaction made.
        properties: The transaction's properties.
        operation: Name of Lance's operation, the kind where we left no record.
    """
    record = json.loads((properties or {}).get(PROPERTY) or "{}")
    provenance = record.get("provenance")
    return Commit(
        version,
        record.get("kind", operation),
        dt.datetime.fromisoformat(record["at"]) if "at" in record else None,
        Provenance.from_json(provenance) if provenance else None,
        record.get("details", {}),
        record.get("histograms"),
    )
