"""aiohttp, on uvloop."""

import sys

import receiving
import uvloop
from aiohttp import web


async def webhook(request):
    body = await request.read()
    if not receiving.verified(body, request.headers.get("X-Hub-Signature-256")):
        raise web.HTTPUnauthorized
    receiving.receive(body)
    return web.Response()


app = web.Application()
app.router.add_post("/webhook", webhook)
if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, loop=uvloop.new_event_loop())
