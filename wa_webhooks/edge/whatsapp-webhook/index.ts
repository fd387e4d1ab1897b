// The receiver as a Supabase Edge Function: verifies, records, answers; `wa-hooks work` does the rest, anywhere.
//
//   supabase secrets set WHATSAPP_APP_SECRET=... WHATSAPP_VERIFY_TOKEN=...
//   supabase functions deploy whatsapp-webhook --no-verify-jwt
//
// Meta sends no JWT: its signature takes the place of one, so the platform's own check has to be off. The callback URL
// is https://<project>.supabase.co/functions/v1/whatsapp-webhook; healthz and readyz are below it.
//
// WHATSAPP_APP_SECRET     several, comma-separated, while one replaces another
// WHATSAPP_VERIFY_TOKEN   what the app dashboard has as the verify token
// WA_HOOKS_MAX_BODY       largest body in bytes; Meta sends up to 3 MB
// WA_HOOKS_PATH           where the function is, if not at /whatsapp-webhook
// SUPABASE_URL and its secret key are there by themselves.

import { createClient } from "npm:@supabase/supabase-js@2";

const PATH = Deno.env.get("WA_HOOKS_PATH") ?? "/whatsapp-webhook";
const LARGEST_BODY = Number(Deno.env.get("WA_HOOKS_MAX_BODY") ?? 4_000_000);
const SIGNATURE = "x-hub-signature-256";
const KEPT_HEADERS = [SIGNATURE, "user-agent", "content-type"];
const REQUEST_ID = "x-request-id";
const WELL_FORMED = /^[ \t\r\n]*sha256=([0-9A-Fa-f]{64})[ \t\r\n]*$/;
const ADDRESS = /^[0-9A-Fa-f.:]{2,45}$/;
// No webhook: as a signature, a label would be worth nothing. The same as in `wa_webhooks.signature`.
const LABELLED = "wa-hooks: the label of an app secret";
const TRIES = 3;
const PATIENCE = 8_000; // milliseconds for all of them: beyond, Meta has the 503 and sends it again

const text = new TextEncoder();

interface Secret {
  key: CryptoKey;
  label: string;
}

interface Kept {
  body: string; // base64: the exact bytes
  headers: Record<string, string>;
  source: "serve";
  source_ip: string | null;
  received_at: string;
  signature_key: string;
  run_id: null;
  nonce: string; // by which the database knows it again, where the answer was lost
}

class Refusal {
  constructor(
    readonly status: number,
    readonly sentence: string,
    readonly cause: string,
    readonly allow?: string,
  ) {}
}

const UNSIGNED = "The signature is missing or wrong.";
const TOO_LARGE = new Refusal(413, "The body is too large.", "too-large");
const NOT_RECORDED = "The delivery was not recorded; send it again.";

const secrets = readSecrets();
const verifyToken = (Deno.env.get("WHATSAPP_VERIFY_TOKEN") ?? "").trim();
const database = connect();

Deno.serve(async (request, info) => {
  const id = crypto.randomUUID();
  const url = new URL(request.url);
  const source = address(request, info.remoteAddr);
  try {
    return answer(await handle(request, url, source, id), request, id);
  } catch (error) {
    if (!(error instanceof Refusal)) {
      console.error(JSON.stringify({ event: "failed", request_id: id, error: String(error) }));
      return answer([503, `${NOT_RECORDED}\n`], request, id);
    }
    const { status, cause, sentence, allow } = error;
    console.warn(JSON.stringify({ event: "request refused", request_id: id, status, cause, source_ip: source }));
    return answer([status, `${sentence}\n`], request, id, allow);
  }
});

type Said = [status: number, text: string];

function answer([status, said]: Said, request: Request, id: string, allow?: string): Response {
  const headers = new Headers({
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    [REQUEST_ID]: id,
  });
  if (allow) headers.set("allow", allow);
  return new Response(request.method === "HEAD" ? null : said, { status, headers });
}

/** What to answer; whatever can be refused before the body is read, is. */
async function handle(request: Request, url: URL, source: string | null, id: string): Promise<Said> {
  const path = url.pathname.startsWith("/functions/v1/") ? url.pathname.slice("/functions/v1".length) : url.pathname;
  const health = path === `${PATH}/healthz` || path === `${PATH}/readyz`;
  if (path !== PATH && !health) throw new Refusal(404, "There is nothing here.", "unknown-path");
  const allowed = health ? ["GET", "HEAD"] : ["GET", "POST"];
  if (!allowed.includes(request.method)) {
    const allow = allowed.join(", ");
    throw new Refusal(405, `Use ${allow}.`, "method", allow);
  }
  if (path === `${PATH}/healthz`) return [200, "ok\n"];
  if (path === `${PATH}/readyz`) return await readiness();
  if (request.method === "GET") return [200, await challenge(url.searchParams)];
  return await receive(request, source, id);
}

async function receive(request: Request, source: string | null, id: string): Promise<Said> {
  const receivedAt = new Date().toISOString().replace("Z", "000Z"); // microseconds, as everywhere in the log
  const header = request.headers.get(SIGNATURE) ?? "";
  const length = Number(request.headers.get("content-length") ?? 0);
  if (length > LARGEST_BODY) throw TOO_LARGE;
  if (header.includes(",")) throw new Refusal(400, "A header that may stand once is repeated.", "malformed");
  const given = WELL_FORMED.exec(header)?.[1];
  if (!given) throw new Refusal(401, UNSIGNED, "signature-missing");
  const body = await read(request);
  const label = await signer(body, given);
  if (label === null) throw new Refusal(401, UNSIGNED, "signature-wrong");
  const headers: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const value = request.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  headers[REQUEST_ID] = id;
  const ids = await append({
    body: base64(body),
    headers,
    source: "serve",
    source_ip: source,
    received_at: receivedAt,
    signature_key: label,
    run_id: null,
    nonce: crypto.randomUUID().replaceAll("-", ""),
  });
  if (ids === null) return [503, `${NOT_RECORDED}\n`];
  console.info(JSON.stringify({ event: "recorded", deliveries: { [ids[0]]: id } }));
  return [200, "ok\n"];
}

/** The raw bytes of the body, before any parsing. */
async function read(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > LARGEST_BODY) throw TOO_LARGE;
    parts.push(part);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

/** The label of the secret that signed the body; null if none did. All are tried, so the time tells nothing. */
async function signer(body: Uint8Array<ArrayBuffer>, given: string): Promise<string | null> {
  const known = await secrets;
  if (known.length === 0) throw new Error("no app secret is set, or one is empty: WHATSAPP_APP_SECRET");
  let found: string | null = null;
  for (const { key, label } of known) {
    const expected = hex(await crypto.subtle.sign("HMAC", key, body));
    if (same(text.encode(expected), text.encode(given)) && found === null) found = label;
  }
  return found;
}

async function challenge(query: URLSearchParams): Promise<string> {
  const last = (name: string) => query.getAll(name).at(-1) ?? "";
  // Digests have one length, whatever the tokens have.
  const given = await digest(last("hub.verify_token"));
  const matches = same(given, await digest(verifyToken)) && verifyToken !== "";
  const asked = last("hub.challenge");
  if (last("hub.mode") !== "subscribe" || !asked || !matches) {
    throw new Refusal(403, "The verification was refused.", "handshake");
  }
  return asked;
}

/** Record a delivery, and return its id; null where it is not known to be recorded. */
async function append(delivery: Kept): Promise<number[] | null> {
  const deadline = AbortSignal.timeout(PATIENCE);
  for (let tried = 1; tried <= TRIES && !deadline.aborted; tried++) {
    const { data, error, status } = await database
      .rpc("wa_append", { args: { deliveries: [delivery] } })
      .abortSignal(deadline);
    const ids = error ? null : data?.ids;
    if (Array.isArray(ids) && ids.length === 1) return ids;
    const told = error ? (error.message || error.code) : "the answer is none of the database";
    console.error(JSON.stringify({ event: "not recorded", request_id: delivery.headers[REQUEST_ID], status, told }));
    if (status >= 400 && status < 500 && status !== 408 && status !== 429) return null; // it will be the same again
    await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** tried));
  }
  return null;
}

async function readiness(): Promise<Said> {
  const { error, status } = await database
    .rpc("wa_check_writable", { args: {} })
    .abortSignal(AbortSignal.timeout(PATIENCE));
  if (!error && (await secrets).length > 0) return [200, "ready\n"];
  console.error(JSON.stringify({ event: "not ready", status, told: error?.message ?? "no app secret is set" }));
  return [503, "Deliveries cannot be recorded.\n"];
}

// -- what it is made of

function connect() {
  const url = Deno.env.get("SUPABASE_URL");
  const key = Deno.env.get("SUPABASE_SECRET_KEY") ?? projectKey() ?? Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");
  if (!url || !key) throw new Error("SUPABASE_URL and a secret key are needed");
  return createClient(url, key, { auth: { persistSession: false, autoRefreshToken: false } });
}

function projectKey(): string | undefined {
  const keys: Record<string, string> = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS") ?? "{}");
  return keys.default ?? Object.values(keys)[0];
}

/** The app secrets, none if one is empty: a stray comma must not let anybody sign with nothing. */
async function readSecrets(): Promise<Secret[]> {
  const given = (Deno.env.get("WHATSAPP_APP_SECRET") ?? "").split(/[,\n]/).map((part) => part.trim());
  if (given.some((part) => part === "")) return [];
  return await Promise.all(given.map(async (secret) => {
    const hmac = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", text.encode(secret), hmac, false, ["sign"]);
    return { key, label: hex(await crypto.subtle.sign("HMAC", key, text.encode(LABELLED))).slice(0, 8) };
  }));
}

/** Where a request says that it comes from. It is kept for people to read; what is believed is the signature. */
function address(request: Request, peer: Deno.Addr): string | null {
  const told = (request.headers.get("x-forwarded-for") ?? "").split(",")[0].trim();
  if (ADDRESS.test(told)) return told;
  return "hostname" in peer ? peer.hostname : null;
}

async function digest(said: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", text.encode(said)));
}

/** Whether two arrays of one length are equal, in a time that does not depend on where they differ. */
function same(one: Uint8Array, other: Uint8Array): boolean {
  let different = one.length ^ other.length;
  for (let at = 0; at < one.length; at++) different |= one[at] ^ other[at];
  return different === 0;
}

function hex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** In pieces: a call takes only so many arguments. */
function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}
