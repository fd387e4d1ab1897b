#!/usr/bin/env bash
# What wa-hooks is for, in one go: receive signed webhooks over HTTP, process them, look at the log and at a lead.
# Run it with `make demo`. Everything it makes is in .demo.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ wa-hooks %s\n' "$*"; wa-hooks "$@"; }

rm -rf .demo
mkdir .demo
WHATSAPP_APP_SECRET=$(python -c 'import secrets; print(secrets.token_hex(16))')
export WHATSAPP_APP_SECRET WHATSAPP_VERIFY_TOKEN=demo-token WA_HOOKS_STORE=sqlite:.demo/wa-hooks.db

say "1. Start the receiver. It verifies each delivery, writes it to disk, answers 200, and only then works on it."
wa-hooks serve --port 0 2> .demo/serve.log &
receiver=$!
trap 'kill "$receiver" 2> /dev/null || true' EXIT
for _ in $(seq 100); do grep -q listening .demo/serve.log && break; sleep 0.1; done
port=$(python -c 'import json; print(json.loads(open(".demo/serve.log").readline())["port"])')
url=http://127.0.0.1:$port/webhook
echo "listening on $url"

say "2. Meta checks the callback URL, somebody sends an unsigned request, and Meta sends what happened."
python - "$url" << 'PYTHON'
import sys, urllib.error, urllib.request
url = sys.argv[1]
check = url + "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=demo-token"
print("handshake:       ", urllib.request.urlopen(check).read().decode())
try:
    urllib.request.urlopen(url, data=b'{"object":"whatsapp_business_account"}')
except urllib.error.HTTPError as refused:
    print("unsigned request:", refused.code, refused.read().decode().strip())
PYTHON
run replay fixtures/calls fixtures/messages fixtures/statuses fixtures/batches fixtures/broken/not-json.json --to "$url"

say "3. Every event is in the log: also those that nobody can read, and why."
for _ in $(seq 100); do wa-hooks stats --json | grep -q '"backlog": 0' && break; sleep 0.1; done
run tail-log --lines 24

say "4. What it made of them: leads, each with one timeline of messages, statuses and calls."
echo "(People's data is masked unless you say --unmask. These people are invented.)"
run show lead:1 --unmask

say "5. Sending everything again changes nothing: every event is applied once, in whatever order it comes."
run replay fixtures/calls fixtures/messages fixtures/statuses fixtures/batches

say "6. How much there is."
run stats

kill -TERM "$receiver"
wait "$receiver"
say "The receiver has drained and stopped. The store is .demo/wa-hooks.db; try: WA_HOOKS_STORE=$WA_HOOKS_STORE .venv/bin/wa-hooks show 1"
