"""The errors that this project raises on purpose.

Every message names the file, row or parameter that is wrong and what to do
about it. Errors that belong to one clip carry an `error_class`, which ends up
in that clip's `error` column; the shard goes on.
"""

from __future__ import annotations

ERROR_CLASSES = frozenset(
    [
        "missing",
        "corrupt",
        "unsupported",
        "too_large",
        "forbidden",
        "io_error",
        "changed",
        "decode_error",
        "span_out_of_range",
        "timeout",
        "out_of_memory",
        "decoder_crash",
        "operator_error",
    ]
)
"""What a clip's `error.class` may be once its entry could be read."""

MALFORMED = "malformed_annotation"
"""`error.class` of an annotation entry, or a part of one, that cannot be used."""

PATH_CLASSES = frozenset(["missing", "forbidden", "io_error", "changed"])
"""Those of a path: no fact about what the file holds, so never shared by clips of equal content,
and looked at again by every run."""


class DjError(Exception):
    """Base of all errors raised on purpose."""


class RecipeError(DjError):
    """A recipe, stage, operator or parameter that cannot be run as written."""


class SourceError(DjError):
    """An annotation file that is missing, changed or not in its official format."""


class OutageError(DjError):
    """A disk, folder, store or credential that fails; no clip's fault, so it ends the stage.

    It is no row's error and counts as no attempt. `faults.py` tells which exceptions mean it.
    """


class OptionError(DjError):
    """A setting of a run that cannot be meant."""


class MediaError(DjError):
    """One video that cannot be read as asked.

    Args:
        message: What is wrong, naming the file.
        error_class: The value for the clip's `error.class`: `missing`,
            `corrupt`, `unsupported`, `too_large`, `forbidden`, `decode_error`,
            `span_out_of_range`, `timeout`, `out_of_memory`, `decoder_crash`, `io_error` or
            `changed`.
    """

    def __init__(self, message: str, error_class: str) -> None:
        super().__init__(message)
        self.error_class = error_class

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str]]:
        return type(self), (str(self), self.error_class)


class JobError(DjError):
    """A job that cannot be run where it was sent."""


class ModelError(DjError):
    """A model that cannot be loaded or run as configured."""


class WarehouseError(DjError):
    """A Lance table that cannot be read or written as asked."""


class ConflictError(WarehouseError):
    """Another writer committed first; read again, decide again, retry."""


class MissingExtraError(DjError):
    """A feature whose optional dependency is not installed.

    Args:
        feature: What was asked for, as the user would say it.
        extra: The extra of this project that brings it.
        command: The command that installs it, where the extra is not the best way.
    """

    def __init__(self, feature: str, extra: str, command: str | None = None) -> None:
        command = command or f"pip install -c constraints.txt 'dj-sora[{extra}]'"
        super().__init__(
            f"{feature} needs an optional dependency that is not installed; run: {command}"
        )
        self._given = (feature, extra, command)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), self._given  # it is raised in worker processes, too
