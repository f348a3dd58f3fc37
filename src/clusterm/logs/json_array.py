"""Encode the log of a job as a JSON array of whole lines, in parts, so that memory does not depend on its size."""

from collections.abc import Iterable, Iterator

import orjson

from clusterm.store import jobs as job_queries
from clusterm.store import log_reader
from clusterm.store.engine import Store
from clusterm.store.log_lines import Row
from clusterm.store.log_query import LogQuery


def encode_log(store: Store, job_id: int, last: int) -> Iterator[bytes]:
    """Yield the parts of a JSON array with the lines of a job's log, the parts of long lines joined.

    Each part is read in a transaction of its own. No transaction is open while the caller sends a part.

    Args:
        store: the store.
        job_id: id of the job.
        last: number of the last line.

    Raises:
        NotFound: the job was deleted meanwhile. The array then has no end.
        StoreError: the store cannot be read. The array then has no end.
    """
    encoder = _Encoder()
    yield b"["
    query, start = LogQuery(last=last), 1
    while start <= last:
        with store.read() as session:
            part = log_reader.read(session, job_queries.get(session, job_id), query, start, as_text=True)
        yield encoder.encode(part.rows)
        if part.exhausted:
            break
        start = part.next
    yield encoder.end()


class _Encoder:
    """Encodes consecutive rows, of which several can be parts of one line."""

    def __init__(self) -> None:
        self._before = b'"'
        self._is_in_line = False

    def encode(self, rows: Iterable[Row]) -> bytes:
        encoded: list[bytes] = []
        for row in rows:
            if not self._is_in_line:
                encoded.append(self._before)
                self._before = b',"'
            encoded.append(orjson.dumps(row.text)[1:-1])
            self._is_in_line = row.partial
            if not row.partial:
                encoded.append(b'"')
        return b"".join(encoded)

    def end(self) -> bytes:
        return b'"]' if self._is_in_line else b"]"
