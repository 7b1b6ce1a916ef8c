"""Slow storage: an S3 server behind a wire that lets few bytes through, late."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from bench.chaos import builds
from bench.chaos.builds import Dataset
from bench.chaos.ground import Ground, SilentDamageError
from tests.pipeline.s3 import served

DELAY_S = 0.05
BYTES_A_SECOND = 2_000_000
PIECE = 65_536


@contextmanager
def slow_wire(port: int) -> Iterator[int]:
    """A port of this machine that leads to another one, with a delay and a limit on each connection's rate."""

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(PIECE):
                await asyncio.sleep(DELAY_S + len(data) / BYTES_A_SECOND)
                target.write(data)
                await target.drain()
        except ConnectionError:
            return  # either end may hang up at any time
        finally:
            target.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(connect, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def slow_storage(ground: Ground) -> str:
    """A build into the slow store, fetched and compared."""
    with served() as server, slow_wire(int(server.rpartition(":")[2])) as port:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        environment = dict.fromkeys(names, "test") | {"AWS_REGION": "us-east-1"}
        os.environ.update(environment)  # for the fetching below
        client = boto3.client("s3", endpoint_url=server, region_name="us-east-1")
        client.create_bucket(Bucket="chaos")
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        code, output = ground.build("s3://chaos/data", environment=environment)
        if code != 0:
            raise SilentDamageError(f"a build on slow storage ended with {code}:\n{output}")
        code, text = builds.run("verify", "--dataset", "s3://chaos/data", environment=environment)
        if code != 0:
            raise SilentDamageError(f"verify ended with {code}:\n{text}")
        root = ground.folder / "slow"
        _fetch(client, root)
    found, wanted = Dataset.read(root), ground.quiet
    if (found.artifacts, found.shards, found.releases) != (wanted.artifacts, wanted.shards, wanted.releases):
        raise SilentDamageError("artifacts, shards or releases are not those of the quiet run")
    return f"S3 server behind a wire of {DELAY_S:g} s and {BYTES_A_SECOND / 1e6:g} MB/s a connection: byte-identical"


def _fetch(client: object, root: Path) -> None:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="chaos", Prefix="data/")  # type: ignore[attr-defined]
    for name in (item["Key"] for page in pages for item in page.get("Contents", ())):
        target = root / name.removeprefix("data/")
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download_file("chaos", name, str(target))  # type: ignore[attr-defined]
