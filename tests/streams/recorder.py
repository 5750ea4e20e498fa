"""An HTTP server that keeps what it gets, and can be killed: without an answer, or before it has kept anything."""

import http.server
import threading


class Recorder:
    def __init__(self, answer=lambda request: (200, b"{}")):
        """`answer(request)`: status and body, or None to close the connection after it was kept."""
        self.answer = answer
        self.requests = []  # (path, headers, body)
        self.port = 0
        self._server = None

    def start(self):
        """On a free port, or on the one that it had."""
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = (self.path, dict(self.headers.items()), body)
                recorder.requests.append(request)
                answered = recorder.answer(request)
                if answered is None:
                    self.close_connection = True
                    return
                status, content = answered
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
