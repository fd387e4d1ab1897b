"""pywa on FastAPI on uvicorn, with its asynchronous client; otherwise as `with_pywa`."""

import receiving
from fastapi import FastAPI
from pywa_async import WhatsApp

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
async def on_message(_, message):
    receiving.queue.append(message)
