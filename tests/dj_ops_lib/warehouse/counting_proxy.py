"""A proxy before a server on this machine that notes every HTTP request and passes all bytes on.

It does not take part in the conversation, so that signatures of requests stay valid.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
import urllib.parse

_REQUEST = re.compile(rb"(?:^|\r\n|\n)?(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP/1\.1\r\n")


class CountingProxy:
    """Listens on a free port of the loopback while it is entered.

    Attributes:
        requests: `METHOD /path?query` of every request, in the order in which they came.
    """

    def __init__(self, endpoint: str) -> None:
        found = urllib.parse.urlsplit(endpoint)
        self.requests: list[str] = []
        self._target = (found.hostname, found.port)
        proxy = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(proxy._target) as server:
                    back = threading.Thread(target=_pass_on, args=(server, self.request))
                    back.start()
                    _pass_on(self.request, server, proxy.requests)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> CountingProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pass_on(
    source: socket.socket, target: socket.socket, requests: list[str] | None = None
) -> None:
    tail = b""
    try:
        while read := source.recv(65536):
            if requests is not None:
                seen = tail + read
                last = 0
                for match in _REQUEST.finditer(seen):
                    requests.append(f"{match[1].decode()} {match[2].decode()}")
                    last = match.end()
                tail = seen[max(last, len(seen) - 4096) :]
            target.sendall(read)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone; the other is told by the end of its stream
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
