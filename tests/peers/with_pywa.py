"""pywa on FastAPI on uvicorn, with its default client; it verifies, parses and builds its message objects."""

import receiving
from fastapi import FastAPI
from pywa import WhatsApp

app = FastAPI()
wa = WhatsApp(
    phone_id="410000000000201",
    token="none",
    server=app,
    webhook_endpoint="/webhook",
    verify_token=receiving.TOKEN,
    app_secret=receiving.SECRET.decode(),
)


@wa.on_message
def on_message(_, message):
    receiving.queue.append(message)
