// Express on node.
"use strict";

const crypto = require("node:crypto");
const express = require("express");

const secret = process.env.WHATSAPP_APP_SECRET;
const MOST = 10_000;
const queue = [];
let next = 0;

function verified(body, header) {
  const expected = Buffer.from("sha256=" + crypto.createHmac("sha256", secret).update(body).digest("hex"));
  const given = Buffer.from(header || "");
  return given.length === expected.length && crypto.timingSafeEqual(given, expected);
}

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.post("/webhook", express.raw({ type: "*/*", limit: "4mb" }), (request, response) => {
  if (!verified(request.body, request.get("X-Hub-Signature-256"))) {
    return response.status(401).end();
  }
  queue[next++ % MOST] = JSON.parse(request.body);
  response.status(200).end();
});
app.listen(Number(process.argv[2]), "127.0.0.1", 1024);
