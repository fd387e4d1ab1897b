"""Flask on gunicorn."""

import receiving
from flask import Flask, Response, abort, request

app = Flask(__name__)


@app.post("/webhook")
def webhook():
    body = request.get_data()
    if not receiving.verified(body, request.headers.get("X-Hub-Signature-256")):
        abort(401)
    receiving.receive(body)
    return Response()
