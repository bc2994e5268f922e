"""What the machine itself takes for the same work: the units beside the figures."""

import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from packledger.eventstore.mapper import DECODERS

ROUNDS = 200
BLOB_BYTES = 20_000
EVENT_BYTES = 2_500


def durable_writes_ms(
    folder: Path, blob_sizes: Iterable[int] = (BLOB_BYTES,) * ROUNDS
) -> list[float]:
    """Return the times of one blob made durable as ours are, and one FULL commit, for each size."""
    place = Path(mkdtemp(dir=folder))
    db = sqlite3.connect(place / "append.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, state BLOB)")
    durations = []
    for number, size_bytes in enumerate(blob_sizes):
        content, state = os.urandom(size_bytes), os.urandom(EVENT_BYTES)
        began_s = time.perf_counter()
        _write_blob(place, f"{number}", content)
        db.execute("INSERT INTO log (state) VALUES (?)", (state,))
        durations.append((time.perf_counter() - began_s) * 1000)
    db.close()
    return durations


def _write_blob(place: Path, name: str, content: bytes) -> None:
    temporary = place / f"{name}.new"
    with temporary.open("wb", buffering=0) as file:
        file.write(content)
        os.fdatasync(file.fileno())
    temporary.rename(place / name)
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def read_and_decode_per_s(log: Path) -> float:
    """Return how many events a second a plain loop reads from SQLite and decodes."""
    db = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    began_s = time.perf_counter()
    count = 0
    for tag, state in db.execute("SELECT topic, state FROM stored_events ORDER BY position"):
        DECODERS[tag](state)
        count += 1
    db.close()
    return count / (time.perf_counter() - began_s)


def insert_and_encode_per_s(folder: Path, rows: int = 100_000) -> float:
    """Return how many rows of 700 bytes a second a plain loop encodes and inserts."""
    db = sqlite3.connect(folder / "insert.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode=OFF")
    db.execute("PRAGMA synchronous=OFF")
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, key TEXT UNIQUE, body BLOB)")
    encode = msgspec.json.Encoder().encode
    began_s = time.perf_counter()
    db.execute("BEGIN")
    values = ((f"package-{number * 7919 % rows}", encode(["x" * 690])) for number in range(rows))
    db.executemany("INSERT INTO rows (key, body) VALUES (?, ?)", values)
    db.execute("COMMIT")
    took_s = time.perf_counter() - began_s
    db.close()
    return rows / took_s
