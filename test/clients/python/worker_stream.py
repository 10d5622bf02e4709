"""The worker's end of one stream, with nothing but the generated stubs."""

import queue
import threading

from dstc.v1 import worker_pb2, worker_service_pb2


class WorkerStream:
    """Sends what it is told to, answers pings by itself, and hands out the rest by kind."""

    def __init__(self, stub, metadata, hello):
        self._outgoing = queue.Queue()
        self._incoming = {}
        self._lock = threading.Lock()
        self.error = None
        self.send(hello=hello)
        self._call = stub.Work(iter(self._outgoing.get, None), metadata=metadata, timeout=60)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def send(self, **message):
        self._outgoing.put(worker_service_pb2.WorkRequest(**message))

    def next(self, kind):
        """The next message of a kind, within ten seconds."""
        return self._queue(kind).get(timeout=10)

    def close(self):
        """Says that nothing more comes, and waits for the end of the stream."""
        self._outgoing.put(None)
        self._reader.join(timeout=10)
        assert not self._reader.is_alive(), "the stream does not end"
        if self.error is not None:
            raise self.error

    def _queue(self, kind):
        with self._lock:
            return self._incoming.setdefault(kind, queue.Queue())

    def _read(self):
        try:
            for response in self._call:
                kind = response.WhichOneof("message")
                if kind == "ping":
                    self.send(pong=worker_pb2.Pong(nonce=response.ping.nonce))
                else:
                    self._queue(kind).put(getattr(response, kind))
        except Exception as error:  # The test that closes the stream raises it.
            self.error = error
