"""The standard library's http.server, a thread for each connection."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import receiving


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        right = receiving.verified(body, self.headers.get("X-Hub-Signature-256"))
        if right:
            receiving.receive(body)
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
