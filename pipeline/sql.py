"""Questions to the catalog in SQL (DuckDB), read-only and shut off from files and the network."""

from typing import Any

import duckdb
import pyarrow as pa
from pyarrow.dataset import FileSystemDataset, Scanner

from pipeline.dataset import Dataset, DatasetError
from schemas.catalog import TABLES

_VIEWS = {
    "figures": """
        SELECT a.key, a.stage, a.item_id, a.source_id, f.key AS figure, CAST(f.value AS DOUBLE) AS value
        FROM artifacts AS a, json_each(a.quality) AS f
    """,
    "lineage": """
        SELECT a.key, a.stage, a.item_id, i.key AS input_stage, json_extract_string(i.value, '$') AS input_key
        FROM artifacts AS a, json_each(a.inputs) AS i
    """,
}
"""Views beside the catalog's tables: one row a quality figure, and one row an edge between artifacts."""


class Unthreaded(FileSystemDataset):
    """A table's files that are scanned by one thread of Arrow's, whoever asks: its threaded scans can abort the process
    (apache/arrow#39862), and DuckDB, which takes its scanner from the class, offers no setting.
    """

    @classmethod
    def of(cls, files: FileSystemDataset) -> "Unthreaded":
        return cls(list(files.get_fragments()), files.schema, files.format, files.filesystem)

    def scanner(self, **options: Any) -> Scanner:
        return super().scanner(**options | {"use_threads": False})


def connect(dataset: Dataset) -> Any:
    """A DuckDB connection with every catalog table, and the views `figures` and `lineage`.

    The tables are Arrow datasets over the present version of each Delta table, so nothing can be written to them;
    afterwards the connection is shut off from files, the network and further extensions, for good.
    """
    connection = duckdb.connect(":memory:")
    for name, schema in TABLES.items():
        if dataset.catalog.exists(name):
            connection.register(name, Unthreaded.of(dataset.catalog.files(name)))
        else:
            connection.register(name, schema.empty_table())
    for name, query in _VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {query}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def query(dataset: Dataset, text: str) -> pa.Table:
    """The result of one query. Raises DatasetError with DuckDB's own words where it is not one."""
    with connect(dataset) as connection:
        try:
            found = connection.sql(text)
            if found is None:
                raise DatasetError("this statement returns no rows: the catalog is read-only, write a SELECT")
            return found.to_arrow_table()
        except duckdb.Error as error:
            raise DatasetError(
                f"{error}\ntables: {', '.join([*TABLES, *_VIEWS])}; `DESCRIBE artifacts` lists a table's columns"
            ) from error
