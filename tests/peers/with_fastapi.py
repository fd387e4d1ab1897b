"""FastAPI on uvicorn."""

import receiving
from fastapi import FastAPI, HTTPException, Request, Response

app = FastAPI()


@app.post("/webhook")
async def webhook(request: Request):
    body = await request.body()
    if not receiving.verified(body, request.headers.get("X-Hub-Signature-256")):
        raise HTTPException(401)
    receiving.receive(body)
    return Response()
