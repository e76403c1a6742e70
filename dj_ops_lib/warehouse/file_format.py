"""How the warehouse's data files are written, whatever the defaults of the Lance that is installed.

Here: the one declaration that every writer passes on. Not here: writing (`staging.py`, `write.py`,
`store.py`) and compaction (`maintenance.py`).
"""

from __future__ import annotations

from typing import Final, Literal, TypedDict


class _Format(TypedDict):
    data_storage_version: Literal["2.2"]
    enable_stable_row_ids: bool


FORMAT: Final[_Format] = {
    # Lance's default has moved with its releases; 2.3 is unstable and its offsets changed in 14.0.
    "data_storage_version": "2.2",
    # `write_fragments` ignores the flag and the commit then fails (lance #7702); rows are named by
    # `clip_id`, and a shard is replaced by new rows in any case.
    "enable_stable_row_ids": False,
}
"""Arguments of `write_dataset` and `write_fragments`; a table may hold files of older versions."""
