"""Schemas of the catalog's Delta tables. Times are UTC seconds; paths are relative to the dataset's root.

Clocks and host names live here and in logs only, never in artifacts or shards.
"""

import pyarrow as pa


def _schema(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in fields])


_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()

SOURCES = _schema(
    ("source_id", _TEXT),  # first 16 hex digits of the content's sha256; "unread-…" where it could not be read
    ("sha256", _TEXT),
    ("uri", _TEXT),  # as given; relative to the dataset where it lies inside
    ("kind", _TEXT),  # character | camera
    ("licence", _TEXT),
    ("split", _TEXT),
    ("bytes", _INT),
    ("mtime_ns", _INT),
    ("focal", _FLOAT),  # focal length / frame width from the manifest, or null
    ("camera_track", _TEXT),  # MMD camera track beside the video, or null
    ("camera_track_sha256", _TEXT),
    ("camera_track_offset_s", _FLOAT),
    ("duplicate_of", _TEXT),  # source_id of what is used instead (of another file: it took this one's place), or null
    ("extra", _TEXT),  # further manifest columns, JSON
    ("run_id", _TEXT),
)
CLIPS = _schema(
    ("clip_id", _TEXT),
    ("source_id", _TEXT),
    ("kind", _TEXT),
    ("split", _TEXT),
    ("first_frame", _INT),
    ("frame_count", _INT),
    ("fps_numerator", _INT),
    ("fps_denominator", _INT),
    ("start_s", _FLOAT),
    ("ingest_key", _TEXT),  # the ingest artifact that cut this clip
    ("run_id", _TEXT),
)
ARTIFACTS = _schema(
    ("key", _TEXT),
    ("stage", _TEXT),
    ("stage_version", _INT),
    ("item_id", _TEXT),  # clip_id, or source_id for ingest
    ("source_id", _TEXT),
    ("path", _TEXT),
    ("sha256", _TEXT),
    ("bytes", _INT),
    ("status", _TEXT),
    ("quality", _TEXT),  # JSON object of numbers
    ("inputs", _TEXT),  # JSON object: stage -> artifact key
    ("backend", _TEXT),
    ("backend_version", _INT),
    ("weights_digest", _TEXT),
    ("params", _TEXT),  # JSON, as hashed into the key
    ("seconds", _FLOAT),  # wall time of the stage on this item
    ("worker", _TEXT),  # host name
    ("created_s", _FLOAT),
    ("run_id", _TEXT),
)
FAILURES = _schema(
    ("key", _TEXT),
    ("stage", _TEXT),
    ("item_id", _TEXT),
    ("source_id", _TEXT),
    ("cause", _TEXT),  # refused | raised | killed | timeout | unreadable (item_id is the file's uri) | out_of_memory
    ("error", _TEXT),  # one sentence that a person understands
    ("traceback", _TEXT),
    ("attempts", _INT),
    ("created_s", _FLOAT),
    ("run_id", _TEXT),
)
SHARDS = _schema(
    ("path", _TEXT),
    ("sha256", _TEXT),
    ("bytes", _INT),
    ("split", _TEXT),
    ("kind", _TEXT),
    ("clip_id", _TEXT),  # one row a sample
    ("position", _INT),
    ("release", _INT),  # the first release that lists it
    ("run_id", _TEXT),
)
RUNS = _schema(
    ("run_id", _TEXT),
    ("command", _TEXT),
    ("state", _TEXT),  # started | finished | interrupted
    ("config_digest", _TEXT),
    ("code_version", _TEXT),
    ("host", _TEXT),
    ("python", _TEXT),
    ("created_s", _FLOAT),
    ("seconds", _FLOAT),
    ("counts", _TEXT),  # JSON: made, reused, failed by stage
)
MEASUREMENTS = _schema(
    ("key", _TEXT),  # digest of the artifact keys that were measured and of the measurements' version
    ("clip_id", _TEXT),
    ("source_id", _TEXT),
    ("figures", _TEXT),  # JSON object of numbers
    ("hashes", _TEXT),  # perceptual hashes of frames, hex, separated by spaces
    ("created_s", _FLOAT),
)
TOMBSTONES = _schema(
    ("source_id", _TEXT),
    ("sha256", _TEXT),  # of the content that must not come back
    ("reason", _TEXT),
    ("created_s", _FLOAT),
)
TABLES = {
    "sources": SOURCES,
    "clips": CLIPS,
    "artifacts": ARTIFACTS,
    "failures": FAILURES,
    "shards": SHARDS,
    "runs": RUNS,
    "measurements": MEASUREMENTS,
    "tombstones": TOMBSTONES,
}
