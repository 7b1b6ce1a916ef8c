"""The catalog: Delta tables under `catalog/`, appended to by drivers, readable by DuckDB, Polars and Spark.

All tables are append-only in normal work, so that two drivers never conflict; rows are read in the order of their
commits, so that the last row of a name wins, and equal keys count once. Whatever rewrites a table (many small files
merged, rows deleted) takes effect only as the very next commit after the one that it has read, and keeps the order.
Clocks and host names live here, never in artifacts.
"""

import contextlib
import json
import os
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction
from pyarrow import fs
from pyarrow.dataset import FileSystemDataset, ParquetReadOptions

from pipeline.storage import TEMPORARY, Storage, StorageError, UnwritableError
from schemas.catalog import TABLES

CONFLICT_TRIES = 20
MERGE_TRIES = 3
BATCH_ROWS = 16_384
REPEATED = ("params",)
"""Long texts that many rows share: a file's are decoded once, however few rows of it are wanted."""
COMPACT_ABOVE_FILES = 64
"""Small files a table may have before a finished run merges them, so that reading stays fast."""


class BusyError(UnwritableError):
    """Other writers of a table leave no time for a commit."""


class Catalog:
    """The tables of one dataset. Reading a table that was never written gives an empty one."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._options = {} if storage.local else _object_store_options()

    def uri(self, table: str) -> str:
        """The path or URI of a Delta table."""
        return self._storage.full(f"catalog/{table}")

    def append(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Appends rows in one commit.

        Raises UnwritableError, and pyarrow errors for a row that does not fit the schema.
        """
        if not rows:
            return
        data = pa.Table.from_pylist(list(rows), schema=TABLES[table])
        # Appends do not conflict with each other, but two writers that both create the table do.
        self._commit(
            table,
            lambda: write_deltalake(self.uri(table), data, mode="append", storage_options=self._options or None),
        )

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """A table's rows in the order they were committed, only `columns` if given. Raises StorageError."""
        schema = _schema(table, columns)
        if not self.exists(table):
            return schema.empty_table()
        with self._reading(table):
            return self._scanned(table, self.delta(table)).to_table(columns=columns, use_threads=False).cast(schema)

    def matching(self, table: str, column: str, values: Collection[str], columns: list[str] | None = None) -> pa.Table:
        """Rows whose `column` is one of `values`, as `read` gives them; only these are held in memory."""
        schema = _schema(table, columns)
        if not values:
            return schema.empty_table()
        wanted, parts = pa.array(sorted(values), pa.string()), []
        # Not by the scanner's own filter: once rows were deleted, files carry statistics of a string type that Arrow
        # does not compare.
        for part in self.batches(table, None if columns is None else [*columns, *({column} - set(columns))]):
            parts.append(part.filter(pc.is_in(part.column(column), wanted)).select(schema.names))
        return pa.concat_tables([schema.empty_table(), *parts])

    def batches(self, table: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """A table's rows, some thousands at a time, in the order of `read`; the others are not held in memory."""
        if not self.exists(table):
            return
        with self._reading(table):
            yield from self._batches(table, self.delta(table), columns)

    def _batches(self, table: str, delta: DeltaTable, columns: list[str] | None) -> Iterator[pa.Table]:
        # None is read ahead of the one in hand: by default sixteen would be.
        ahead = {"batch_readahead": 0, "fragment_readahead": 0, "use_threads": False}
        scanned = self._scanned(table, delta, ParquetReadOptions(dictionary_columns=REPEATED))
        for batch in scanned.to_batches(columns=columns, batch_size=BATCH_ROWS, **ahead):
            yield pa.Table.from_batches([batch]).cast(_schema(table, columns))

    def select(
        self, table: str, column: str, values: Collection[str], columns: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """The rows of `matching` as dictionaries."""
        return self.matching(table, column, values, columns).to_pylist()

    def _scanned(self, table: str, delta: DeltaTable, options: ParquetReadOptions | None = None) -> FileSystemDataset:
        # Read it with `use_threads=False`: Arrow's threaded scans can abort the process (apache/arrow#39862). On disk
        # with Arrow's own file access, which does not call back into Python for every read.
        files = fs.SubTreeFileSystem(self.uri(table), fs.LocalFileSystem()) if self._storage.local else None
        found = delta.to_pyarrow_dataset(filesystem=files, parquet_read_options=options)
        # Delta replays its log backwards, so that the files of the newest commit come first.
        return FileSystemDataset(list(found.get_fragments())[::-1], found.schema, found.format, found.filesystem)

    def delta(self, table: str) -> DeltaTable:
        """The Delta table itself. Raises deltalake's error where it was never written."""
        return DeltaTable(self.uri(table), storage_options=self._options or None)

    def files(self, table: str) -> FileSystemDataset:
        """A table's files as an Arrow dataset, to be scanned without Arrow's threads, as `read` does."""
        return self._scanned(table, self.delta(table))

    def rows(self, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
        return self.read(table, columns).to_pylist()

    def exists(self, table: str) -> bool:
        return DeltaTable.is_deltatable(self.uri(table), storage_options=self._options or None)

    def forget(self, table: str, column: str, values: Sequence[str]) -> None:
        """Deletes rows whose `column` is one of `values` (hex digests or ids of ours: nothing to escape)."""
        if not values or not self.exists(table):
            return
        if any(not value.replace("_", "").isalnum() for value in values):
            raise ValueError("values to forget must be plain ids")
        wanted = pa.array(values, pa.string())
        self._commit(
            table,
            lambda: self._rewrite(
                table, self.delta(table), lambda rows: rows.filter(pc.invert(pc.is_in(rows.column(column), wanted)))
            ),
        )

    def _rewrite(self, table: str, delta: DeltaTable, kept: Callable[[pa.Table], pa.Table]) -> None:
        """The rows that `kept` leaves of each batch, in one file and in their order. Raises CommitFailedError where
        another commit came after the version of `delta`.

        Delta's own compaction and deletion mix up the order, and two compactions at once doubled all rows (deltalake
        1.6): only without its retries is a commit refused wherever something else happened meanwhile.
        """
        name = f"part-{secrets.token_hex(16)}.zstd.parquet"
        path = self._storage.scratch() / f"{TEMPORARY}{name}"
        try:
            rows = _write_parquet(path, TABLES[table], map(kept, self._batches(table, delta, None)))
            size = path.stat().st_size
            self._storage.put_file(f"catalog/{table}/{name}", path)
        finally:
            path.unlink(missing_ok=True)
        added = AddAction(name, size, {}, int(time.time() * 1000), True, json.dumps({"numRecords": rows}))
        only_next = CommitProperties(max_commit_retries=0)
        # Where it is refused the file stays: a store whose answer was lost may have taken the commit after all.
        delta.create_write_transaction([added], "overwrite", delta.schema(), commit_properties=only_next)

    def _commit(self, table: str, write: Callable[[], None], *, tries: int = CONFLICT_TRIES) -> None:
        """Calls `write`, again where another writer's commit was in its way. Raises UnwritableError."""
        with self._writing(table):
            for attempt in range(1, tries):
                with contextlib.suppress(CommitFailedError):
                    write()
                    return
                time.sleep(random.uniform(0.05, 0.2) * attempt)  # noqa: S311 (spreads writers, no secret)
            write()

    def replace(self, table: str, data: pa.Table) -> None:
        """A table anew with exactly `data`, and no earlier version to go back to.

        For a moment there is no table, so nothing else may use the catalog meanwhile. The rows are put aside first:
        where this is killed, `finish_replacing` goes on.
        """
        self._storage.write_table(_aside(table), data.cast(TABLES[table]))
        self.finish_replacing()

    def finish_replacing(self) -> None:
        """Puts tables in place whose replacement was begun."""
        for table in TABLES:
            if not self._storage.exists(_aside(table)):
                continue
            data = self._storage.read_table(_aside(table))
            for path in list(self._storage.list(f"catalog/{table}")):
                self._storage.remove(path)
            write_deltalake(self.uri(table), data, mode="overwrite", storage_options=self._options or None)
            self._storage.remove(_aside(table))

    def tidy(self, tables: Iterable[str] = tuple(TABLES)) -> None:
        """Merges small files of tables that have gathered many of them."""
        for table in tables:
            if self.exists(table):
                with contextlib.suppress(BusyError):  # the next run that finishes merges them
                    self._commit(table, partial(self._merge, table), tries=MERGE_TRIES)

    def _merge(self, table: str) -> None:
        delta = self.delta(table)
        if len(delta.file_uris()) > COMPACT_ABOVE_FILES:
            self._rewrite(table, delta, lambda rows: rows)

    @contextlib.contextmanager
    def _reading(self, table: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise StorageError(
                f"{self.uri(table)} cannot be read ({_one_line(error)}): put the folder back from a copy; without one, "
                f"move {self._storage.full('catalog')} away and build from the same videos again: it takes over what "
                "is made"
            ) from error

    @contextlib.contextmanager
    def _writing(self, table: str) -> Iterator[None]:
        try:
            yield
        except CommitFailedError as error:
            raise BusyError(
                f"{self.uri(table)} cannot be written: other writers' commits came between again and again "
                f"({_one_line(error)}); run the same command again"
            ) from error
        except (DeltaError, OSError) as error:
            raise UnwritableError(
                f"{self.uri(table)} cannot be written ({_one_line(error)}): free space or make the place writable, "
                "then run the same command again; what is finished is kept"
            ) from error


def _schema(table: str, columns: list[str] | None) -> pa.Schema:
    return TABLES[table] if columns is None else pa.schema([TABLES[table].field(name) for name in columns])


def _write_parquet(path: Path, schema: pa.Schema, parts: Iterable[pa.Table]) -> int:
    """Writes parts in their order, joined to row groups of about BATCH_ROWS. Returns the number of rows."""
    total, waiting = 0, schema.empty_table()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            waiting = pa.concat_tables([waiting, part])
            total += len(part)
            if len(waiting) >= BATCH_ROWS:
                writer.write_table(waiting)
                waiting = schema.empty_table()
        writer.write_table(waiting)
    return total


def _aside(table: str) -> str:
    return f"catalog/{table}.replacement.parquet"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def _object_store_options() -> dict[str, str]:
    """Options for delta-rs from the usual AWS variables; conditional puts make commits atomic without a lock table."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL")
    options = {name: os.environ[name] for name in names if name in os.environ}
    if options.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    options["AWS_CONDITIONAL_PUT"] = "etag"
    return options
