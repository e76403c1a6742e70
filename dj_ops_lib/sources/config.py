"""Where a source's files are and how they are read: what a source's `defs.yaml` may say."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Literal

import pydantic

from dj_ops_lib.checks import ERRORS_EXPECTED
from dj_ops_lib.errors import MediaError, SourceError
from dj_ops_lib.media.access import VIDEO_EXTENSIONS, Access, Limits, ObjectStore
from dj_ops_lib.media.fetch import OBJECT_SCHEME
from dj_ops_lib.media.path_text import as_uri
from dj_ops_lib.settings import data_root
from dj_ops_lib.sources.reader import SourceReader, source_reader

_DEFAULTS = Limits()


class LimitsConfig(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Largest video that is read at all; larger ones become error rows."""

    max_bytes: int = pydantic.Field(_DEFAULTS.max_bytes, gt=0, description="File size in bytes.")
    max_width: int = pydantic.Field(_DEFAULTS.max_width, gt=0, description="Width in pixels.")
    max_height: int = pydantic.Field(_DEFAULTS.max_height, gt=0, description="Height in pixels.")
    max_duration_s: float = pydantic.Field(
        _DEFAULTS.max_duration_s, gt=0, description="Duration in seconds."
    )
    max_frames: int = pydantic.Field(_DEFAULTS.max_frames, gt=0, description="Number of frames.")


class ObjectStoreConfig(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where `s3://` leads. Credentials come from `AWS_*` variables, never from here."""

    endpoint_url: str | None = pydantic.Field(None, description="URL of an S3-compatible server.")
    region: str | None = pydantic.Field(None, description="Name of the region.")
    unsigned: bool = pydantic.Field(False, description="Read public buckets without credentials.")


class SourceConfig(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One source: a dataset at a place.

    Everything has a default, so that a folder `<DJ_DATA>/<name>` with the official files and
    `videos/` needs no configuration at all.
    """

    name: str = pydantic.Field(
        "", pattern=r"^([a-z][a-z0-9_]*)?$", description="Name of the source and of its tables."
    )
    dataset: str = pydantic.Field(
        "", description="Dataset whose format the files have; default: the source's name."
    )
    root: str = pydantic.Field(
        "", description="Folder of the annotation files; default: <DJ_DATA>/<name>."
    )
    annotations: tuple[str, ...] = pydantic.Field(
        (),
        description="Annotation files under root, all of which must exist; default: those of the "
        "official names that exist, if they do not describe the same clips.",
    )
    media_root: str = pydantic.Field(
        "videos", description="Where the videos are: a folder, relative to root, or s3://..."
    )
    extensions: tuple[str, ...] = pydantic.Field(
        VIDEO_EXTENSIONS,
        description="Extensions tried after a video's id, in order; in small and capital letters.",
    )
    roots: tuple[str, ...] = pydantic.Field(
        (),
        description="Folders beside the media root, relative to root, in which links there may "
        "end.",
    )
    rows_per_shard: int = pydantic.Field(
        1000, ge=1, description="Annotation entries in a shard; for Panda-70M an entry is a video."
    )
    license: str | None = pydantic.Field(
        None, description="Licence of the clips; default: the dataset's."
    )
    identity: Literal["sha256", "etag"] = pydantic.Field(
        "sha256", description="Name a video by its bytes, or by the object store's etag and size."
    )
    error_share: tuple[float, float] = pydantic.Field(
        ERRORS_EXPECTED,
        description="Shares of rows in error above which it is a warning, and above which the run "
        "stops.",
    )
    limits: LimitsConfig = pydantic.Field(LimitsConfig(), description="Largest video read.")
    object_store: ObjectStoreConfig = pydantic.Field(
        ObjectStoreConfig(), description="Where s3:// leads."
    )

    def model_post_init(self, _: object) -> None:
        """Refuses an unknown dataset and paths that leave the source's folder.

        Raises:
            SourceError: As said; the message names the nearest dataset.
        """
        if self.dataset or self.name:
            _ = self.reader
        for name in self.annotations:
            if _leaves_its_folder(name):
                message = f"the annotation file {name!r} must lie under its root"
                raise SourceError(f"source '{self.name}': {message}")

    @property
    def reader(self) -> SourceReader:
        """The reader of the dataset.

        Raises:
            SourceError: There is no such dataset.
        """
        return source_reader(self.dataset or self.name)

    @property
    def folder(self) -> Path:
        """Folder of the annotation files, absolute."""
        return Path(self.root).resolve() if self.root else data_root() / self.name

    @property
    def clip_license(self) -> str:
        """Licence that the clips carry."""
        return self.license or self.reader.license

    @property
    def media_location(self) -> str:
        """Where the videos are: an absolute path or an `s3://` URI, without a slash at the end."""
        if "://" in self.media_root:
            return self.media_root.rstrip("/")
        return str(self.folder / self.media_root)

    def annotation_paths(self) -> dict[str, Path]:
        """The annotation files to read by name, in order.

        Raises:
            SourceError: A named file is missing, none of the official ones is there, or several
                that describe the same clips are and none is named.
        """
        names = self.annotations or self.reader.annotations
        paths = {name: self.folder / name for name in names}
        found = {name: path for name, path in paths.items() if path.is_file()}
        missing = [str(path) for name, path in paths.items() if name not in found]
        if missing and (self.annotations or not found):
            which = "is missing" if len(missing) == 1 else "are missing (one is enough)"
            raise SourceError(
                f"source '{self.name}': {', '.join(missing)} {which}; put the official file there, "
                "point DJ_DATA at the folder that holds it, or name it in the source's defs.yaml"
            )
        same = [name for name in found if name in self.reader.overlapping]
        if len(same) > 1 and not self.annotations:
            raise SourceError(
                f"source '{self.name}': {' and '.join(same)} in {self.folder} describe the same "
                "clips, each of which would be there twice; name the files to read in the source's "
                "defs.yaml (annotations: [...])"
            )
        return found

    def access(self) -> Access:
        """What the workers may read for this source: its media and nothing else."""
        return Access(
            roots=(self.media_location, *(str(self.folder / root) for root in self.roots)),
            limits=Limits(**self.limits.model_dump()),
            identity=self.identity,
            object_store=ObjectStore(**self.object_store.model_dump()),
        )

    def locate(self, source_id: str) -> str | None:
        """Path or URI of the video with this id, None if there is none.

        Tried are the id with each of `extensions`, then the id itself; after that the extensions in
        capitals, as cameras write them. An id with accents is looked for in both forms of Unicode,
        composed and, as in a Mac's archives, decomposed. An id that is a path out of the media root
        is not looked up; reading the path that is returned for it is refused as `forbidden`, so
        that the clip's error says so.
        """
        if _leaves_its_folder(source_id):
            return as_uri(f"{self.media_location}/{source_id}")
        if self.media_location.startswith(OBJECT_SCHEME):
            return self._locate_object(source_id)
        candidates = [f"{self.media_location}/{name}" for name in self._names(source_id)]
        return next((as_uri(uri) for uri in candidates if self._exists(uri)), None)

    def _names(self, source_id: str) -> list[str]:
        """The names under which a video with this id may be stored, in order."""
        forms = _forms(source_id)
        small = [*(f"{form}.{e}" for form in forms for e in self.extensions), *forms]
        capitals = [f"{form}.{e.upper()}" for form in forms for e in self.extensions]
        return list(dict.fromkeys((*small, *capitals)))

    def _locate_object(self, source_id: str) -> str | None:
        """As `locate`, in a bucket: one listing tells all names, where the store allows it."""
        from dj_ops_lib.media.object_store import list_objects

        names = self._names(source_id)
        first = f"{self.media_location}/{names[0]}"
        if self._exists(first):
            return first
        try:
            found = {
                uri
                for form in _forms(source_id)
                for uri in list_objects(f"{self.media_location}/{form}.", self.access())
            }
        except MediaError:  # objects may be read but not listed: they are asked for one by one
            uris = [f"{self.media_location}/{name}" for name in names[1:]]
            return next((uri for uri in uris if self._exists(uri)), None)
        uris = [f"{self.media_location}/{name}" for name in names]
        bare = {f"{self.media_location}/{form}" for form in _forms(source_id)}
        return next((u for u in uris if u in found or (u in bare and self._exists(u))), None)

    def _exists(self, uri: str) -> bool:
        if "://" not in uri:
            return os.path.lexists(uri) and not Path(uri).is_dir()
        from dj_ops_lib.media.fetch import open_media

        try:
            media = open_media(uri, self.access())  # asks the store for the size, reads nothing
        except MediaError as error:
            return error.error_class != "missing"
        if not isinstance(media, str):
            media.close()
        return True


def _forms(source_id: str) -> list[str]:
    """An id in the forms that Unicode has for it, its own first."""
    others = (unicodedata.normalize(form, source_id) for form in ("NFC", "NFD"))
    return list(dict.fromkeys((source_id, *others)))


def _leaves_its_folder(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\0" in name
