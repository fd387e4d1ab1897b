-- Deliveries recorded, and work leased: append, claim, release; events taken back to pending, and the ledger of runs.

-- Whose a delivery is, as far as its first bytes tell: an account that they do not name shares its turns with the others
-- of which that is so.
create function public.wa_internal_account(body bytea) returns text
  language plpgsql immutable set search_path = '' as $$
declare
  -- By positions: a regular expression takes ten times as long, and this is on the receiver's path.
  start text := encode(substring(body from 1 for 300), 'escape');
  entry constant integer := strpos(start, '"entry"');
  id integer;
begin
  start := substr(start, entry);
  id := strpos(start, '"id"');
  if entry = 0 or id = 0 or strpos(left(start, id), ']') > 0 then
    return '';
  end if;
  start := ltrim(substr(start, id + 4), E': \t\r\n');
  start := case when left(start, 1) = '"' then split_part(substr(start, 2), '"', 1) else '' end;
  return case when length(start) <= 64 and strpos(start, '\') = 0 then start else '' end;
end $$;

-- {"deliveries": [{body: base64, headers, source, source_ip, received_at, signature_key, run_id, nonce}]} -> {"ids"}
create function public.wa_append(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  nonces text[] := array(select coalesce(d.value->>'nonce', gen_random_uuid()::text)
                           from jsonb_array_elements(args->'deliveries') with ordinality d order by d.ordinality);
begin
  perform public.wa_internal_will_insert('deliveries');
  with made as (
    insert into public.wa_deliveries (headers, source, source_ip, received_at, signature_key, run_id, nonce, body)
    select coalesce(d.value->'headers', '{}'), coalesce(d.value->>'source', 'serve'), d.value->>'source_ip',
           (d.value->>'received_at')::timestamptz, d.value->>'signature_key', d.value->>'run_id',
           nonces[d.ordinality], decode(d.value->>'body', 'base64')
      from jsonb_array_elements(args->'deliveries') with ordinality d
     order by d.ordinality
        on conflict (nonce) do nothing
    returning id, run_id, received_at, body
  )
  insert into public.wa_delivery_work (delivery_id, account, size, run_id, not_before)
  select m.id, public.wa_internal_account(m.body), octet_length(m.body), m.run_id,
         -- What a run recorded is left to it for a while: RUN_GRACE in base.py.
         case when m.run_id is null then '-infinity' else m.received_at + interval '15 minutes' end
    from made m;
  return jsonb_build_object('ids', (
    select coalesce(jsonb_agg(d.id order by n.ordinality), '[]')
      from unnest(nonces) with ordinality n(nonce, ordinality)
      join public.wa_deliveries d on d.nonce = n.nonce));
end $$;

-- Notes that a worker is there, every few seconds, and forgets those that have not been for long.
create function public.wa_internal_saw(worker text, at timestamptz) returns void
  language plpgsql set search_path = '' as $$
begin
  if worker is null
     or exists (select from public.wa_workers w where w.name = worker and w.seen_at > at - interval '5 seconds') then
    return;
  end if;
  insert into public.wa_workers (name, seen_at) values (worker, at)
      on conflict (name) do update set seen_at = excluded.seen_at;
  delete from public.wa_workers w where w.seen_at < at - interval '1 day';
  delete from public.wa_claims c where c.until < at - interval '1 day';
end $$;

-- Keeps a claim under its token. A worker does one after the other: what it had before is done.
create function public.wa_internal_claimed(args jsonb, of_kind text, given_ids bigint[]) returns void
  language plpgsql set search_path = '' as $$
begin
  if cardinality(given_ids) = 0 then
    return;
  end if;
  delete from public.wa_claims c
   where c.kind = of_kind and c.worker = args->>'worker' and c.token <> args->>'token';
  insert into public.wa_claims (token, kind, ids, worker, until)
  values (args->>'token', of_kind, given_ids, args->>'worker', (args->>'until')::timestamptz)
      on conflict (token, kind) do update set ids = excluded.ids, until = excluded.until;
end $$;

-- The open deliveries that nobody has leased, locked, at most so many: every account that waits has its turn, from that
-- of the oldest one on, so that a large one does not keep the others waiting.
create function public.wa_internal_open_deliveries(at timestamptz, most integer) returns bigint[]
  language plpgsql set search_path = '' as $$
declare
  accounts text[];
  share integer;
  chosen bigint[];
begin
  with recursive first as (
    select w.account from public.wa_delivery_work w
     where w.split_at is null and w.not_before <= at and (w.leased_until is null or w.leased_until <= at)
     order by w.not_before, w.delivery_id limit 1
  ), turns (account, turn) as (
    select f.account, 1 from first f
    union all  -- from one account to the next by the index, and around
    select n.account, t.turn + 1
      from turns t
     cross join lateral (select coalesce(
             (select w.account from public.wa_delivery_work w where w.split_at is null and w.account > t.account
               order by w.account limit 1),
             (select w.account from public.wa_delivery_work w where w.split_at is null
               order by w.account limit 1)) as account) n
     where t.turn < most and n.account <> (select f.account from first f)
  )
  select array_agg(t.account order by t.turn) into accounts from turns t;
  if accounts is null then
    return '{}'::bigint[];
  end if;
  share := greatest(1, most / cardinality(accounts));
  select array_agg(o.delivery_id order by o.place, a.ordinality) into chosen
    from unnest(accounts) with ordinality a(account, ordinality)
   cross join lateral (
           select l.delivery_id, row_number() over (order by l.not_before, l.delivery_id) as place
             from (select w.delivery_id, w.not_before from public.wa_delivery_work w
                    where w.split_at is null and w.account = a.account and w.not_before <= at
                      and (w.leased_until is null or w.leased_until <= at)
                    order by w.not_before, w.delivery_id limit share for update skip locked) l) o;
  chosen := coalesce(chosen, '{}');
  if cardinality(chosen) < most then  -- what is left of their shares is for who has more
    chosen := chosen || array(
      select w.delivery_id from public.wa_delivery_work w
       where w.split_at is null and w.not_before <= at and (w.leased_until is null or w.leased_until <= at)
         and w.delivery_id <> all (chosen)
       order by w.not_before, w.delivery_id limit most - cardinality(chosen) for update skip locked);
  end if;
  return chosen[:most];
end $$;

-- {limit, bytes, token, now, until, run_id, worker} -> {"deliveries": [{id, body: base64, received_at, run_id}]}
create function public.wa_claim_deliveries(args jsonb) returns json
  language plpgsql set search_path = '' set timezone = 'UTC' as $$
declare
  given_token text := args->>'token';
  at timestamptz := (args->>'now')::timestamptz;
  chosen bigint[];
begin
  perform public.wa_internal_saw(args->>'worker', at);
  perform pg_advisory_xact_lock(22343, hashtext(given_token));  -- the same token at the same time waits for the other
  chosen := array(
    select w.delivery_id from public.wa_claims c cross join lateral unnest(c.ids) i(id)
      join public.wa_delivery_work w on w.delivery_id = i.id
     where c.token = given_token and c.kind = 'deliveries' and w.split_at is null and w.lease_token = given_token);
  if cardinality(chosen) = 0 then
    if args->>'run_id' is null then
      chosen := public.wa_internal_open_deliveries(at, (args->>'limit')::integer);
    else
      chosen := array(
        select w.delivery_id from public.wa_delivery_work w
         where w.split_at is null and w.run_id = args->>'run_id' and (w.leased_until is null or w.leased_until <= at)
         order by w.delivery_id limit (args->>'limit')::integer for update skip locked);
    end if;
    -- The first, and those after it as long as their bodies are not too much together.
    chosen := array(
      select f.id
        from (select c.id, c.ordinality, sum(w.size) over (order by c.ordinality) as bytes
                from unnest(chosen) with ordinality c(id, ordinality)
                join public.wa_delivery_work w on w.delivery_id = c.id) f
       where f.ordinality = 1 or f.bytes <= (args->>'bytes')::bigint);
    update public.wa_delivery_work w set lease_token = given_token, leased_until = (args->>'until')::timestamptz
     where w.delivery_id = any (chosen);
    perform public.wa_internal_claimed(args, 'deliveries', chosen);
  end if;
  return json_build_object('deliveries', (
    select coalesce(json_agg(json_build_object(
             'id', d.id, 'body', encode(d.body, 'base64'), 'received_at', d.received_at, 'run_id', d.run_id)
             order by d.id), '[]')
      from public.wa_deliveries d where d.id = any (chosen)));
end $$;

-- The due events that nobody has leased, as wa_internal_open_deliveries.
create function public.wa_internal_due_events(at timestamptz, most integer) returns bigint[]
  language plpgsql set search_path = '' as $$
declare
  accounts text[];
  share integer;
  chosen bigint[];
begin
  with recursive first as (
    select coalesce(e.account_id, '') as account from public.wa_events e
     where e.state in ('pending', 'failed') and e.next_attempt_at <= at
       and (e.leased_until is null or e.leased_until <= at)
     order by e.next_attempt_at, e.id limit 1
  ), turns (account, turn) as (
    select f.account, 1 from first f
    union all
    select n.account, t.turn + 1
      from turns t
     cross join lateral (select coalesce(
             (select coalesce(e.account_id, '') from public.wa_events e
               where e.state in ('pending', 'failed') and coalesce(e.account_id, '') > t.account
               order by coalesce(e.account_id, '') limit 1),
             (select coalesce(e.account_id, '') from public.wa_events e where e.state in ('pending', 'failed')
               order by coalesce(e.account_id, '') limit 1)) as account) n
     where t.turn < most and n.account <> (select f.account from first f)
  )
  select array_agg(t.account order by t.turn) into accounts from turns t;
  if accounts is null then
    return '{}'::bigint[];
  end if;
  share := greatest(1, most / cardinality(accounts));
  select array_agg(o.id) into chosen
    from unnest(accounts) a(account)
   cross join lateral (
           select e.id from public.wa_events e
            where e.state in ('pending', 'failed') and coalesce(e.account_id, '') = a.account
              and e.next_attempt_at <= at and (e.leased_until is null or e.leased_until <= at)
            order by e.next_attempt_at, e.id limit share for update skip locked) o;
  chosen := coalesce(chosen, '{}');
  if cardinality(chosen) < most then
    chosen := chosen || array(
      select e.id from public.wa_events e
       where e.state in ('pending', 'failed') and e.next_attempt_at <= at
         and (e.leased_until is null or e.leased_until <= at) and e.id <> all (chosen)
       order by e.next_attempt_at, e.id limit most - cardinality(chosen) for update skip locked);
  end if;
  return chosen[:most];
end $$;

-- {limit, token, now, until, run_id, worker} -> {"events": [{id, key, payload: JSON as text, position, attempts, ...}]}
create function public.wa_claim_events(args jsonb) returns json language plpgsql set search_path = '' as $$
declare
  given_token text := args->>'token';
  at timestamptz := (args->>'now')::timestamptz;
  chosen bigint[];
begin
  perform pg_advisory_xact_lock(22343, hashtext(given_token));
  chosen := array(
    select e.id from public.wa_claims c cross join lateral unnest(c.ids) i(id)
      join public.wa_events e on e.id = i.id
     where c.token = given_token and c.kind = 'events' and e.lease_token = given_token and e.leased_until is not null);
  if cardinality(chosen) = 0 then
    if args->>'run_id' is null then
      chosen := public.wa_internal_due_events(at, (args->>'limit')::integer);
    else
      chosen := array(
        select e.id from public.wa_events e
         where e.run_id = args->>'run_id' and e.state = 'pending' and (e.leased_until is null or e.leased_until <= at)
         order by e.id limit (args->>'limit')::integer for update skip locked);
    end if;
    update public.wa_events e set lease_token = given_token, leased_until = (args->>'until')::timestamptz
     where e.id = any (chosen);
    perform public.wa_internal_claimed(args, 'events', chosen);
  end if;
  return json_build_object('events', (
    select coalesce(json_agg(json_build_object(
             'id', e.id, 'key', e.event_key, 'payload', e.payload_original::text, 'position', e.position,
             'attempts', e.attempts, 'delivery_id', e.delivery_id, 'handled_by', coalesce(e.handled_by, ''))
             order by e.id), '[]')
      from public.wa_events e where e.id = any (chosen)));
end $$;

-- {token} -> {"released": how many}
create function public.wa_release(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  given_token text := args->>'token';
  deliveries integer;
  events integer;
begin
  perform pg_advisory_xact_lock(22343, hashtext(given_token));
  update public.wa_delivery_work w set lease_token = null, leased_until = null
    from public.wa_claims c cross join lateral unnest(c.ids) i(id)
   where c.token = given_token and c.kind = 'deliveries' and w.delivery_id = i.id
     and w.split_at is null and w.lease_token = given_token;
  get diagnostics deliveries = row_count;
  update public.wa_events e set lease_token = null, leased_until = null
    from public.wa_claims c cross join lateral unnest(c.ids) i(id)
   where c.token = given_token and c.kind = 'events' and e.id = i.id
     and e.leased_until is not null and e.lease_token = given_token;
  get diagnostics events = row_count;
  delete from public.wa_claims c where c.token = given_token;
  return jsonb_build_object('released', deliveries + events);
end $$;

-- {run: {id, command, scope, started_by, started_at, version}, finished_at, counts} -> {"run": its id}
create function public.wa_save_run(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  run jsonb := args->'run';
begin
  insert into public.wa_runs (id, command, scope, started_by, started_at, version)
  values (run->>'id', run->>'command', run->'scope', run->>'started_by', (run->>'started_at')::timestamptz,
          run->>'version')
      on conflict (id) do nothing;
  if args->>'finished_at' is not null then
    update public.wa_runs r set finished_at = (args->>'finished_at')::timestamptz, counts = args->'counts'
     where r.id = run->>'id';
  end if;
  return jsonb_build_object('run', run->>'id');
end $$;

-- {} -> {"writable": true}; writes a row and commits it, as recording a delivery would.
create function public.wa_check_writable(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
begin
  update public.wa_health h set written_at = clock_timestamp();
  return jsonb_build_object('writable', found);
end $$;

-- {} -> {"migrations": the names of those that were applied}
create function public.wa_schema_version(args jsonb) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object('migrations',
                            (select coalesce(jsonb_agg(m.name order by m.name), '[]') from public.wa_migrations m));
end $$;

insert into public.wa_migrations (name) values ('0003_work') on conflict do nothing;
