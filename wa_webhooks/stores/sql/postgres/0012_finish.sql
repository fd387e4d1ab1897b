-- wa_finish: what came of claimed deliveries and events, in one transaction.
--
-- It takes the outcomes as rows, an array for each table; docs of the fields: stores/rpc/finishing.py. Nearly every
-- event is new, and about nobody, or about one person of whom there is no doubt: these are written together, table by
-- table. The others are settled one by one, each in a block of its own, so that what fails does so alone.

-- Take turns, for each account and business number: two who add to the same leads and messages would lock the same
-- rows in another order. Always in one order, so that nobody waits in a circle.
create function public.wa_internal_lock(p_names jsonb)
returns void language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_advisory_xact_lock_shared(22344, 0);  -- not while a rebuild puts rows right
  perform pg_catalog.pg_advisory_xact_lock(22341, n.lock)
     from (select distinct pg_catalog.hashtext(t.name) & 4095 as lock
             from pg_catalog.jsonb_array_elements_text(p_names) as t (name) order by 1) n;
end $$;

-- Whether an error is the fault of what was to be written, and not of the database at this moment.
create function public.wa_internal_is_refusal(p_state text)
returns boolean language sql immutable set search_path = '' as $$
  select left(p_state, 2) in ('0A', '21', '22', '23', '54', 'P0') or p_state = 'XX000'
$$;

create function public.wa_finish(args jsonb)
returns jsonb language plpgsql set search_path = '' as $$
declare
  v_now constant timestamptz := (args ->> 'now')::timestamptz;
  v_version constant text := args ->> 'handler_version';
  v_nonce constant text := args ->> 'nonce';
  v_answer jsonb;
  v_held bigint[];
  v_how text[];
  v_ids bigint[];
  v_duplicates bigint[];
  v_states text[] := '{}'::text[];
  v_alone integer[];
  v_lost integer;
  v_done integer := 0;
  r record;
  made record;
begin
  v_answer := public.wa_internal_answered(v_nonce);
  if v_answer is not null then
    return v_answer;
  end if;
  perform public.wa_internal_lock(args -> 'locks');
  v_held := public.wa_internal_held(args -> 'deliveries');

  select coalesce(array_agg(s.how order by s.place), '{}'),
         array_agg(s.delivery_id) filter (where s.how = 'duplicate')
    into v_how, v_duplicates
    from public.wa_internal_sort_out(args -> 'events', v_held) s;
  v_lost := cardinality(array_positions(v_how, 'lost'));
  perform public.wa_internal_will_insert('events'), public.wa_internal_will_insert('attempts');
  -- Ids in the order of the events, whichever way each is settled.
  select array_agg(case when t.how in ('plain', 'new') then nextval('public.wa_events_id_seq') else 0 end order by t.n)
    into v_ids from unnest(v_how) with ordinality as t (how, n);

  if 'plain' = any (v_how) then
    v_alone := public.wa_internal_together(
      args, array(select case when t.how = 'plain' then t.id else 0 end
                    from unnest(v_how, v_ids) with ordinality as t (how, id, n) order by t.n), v_now, v_version);
  end if;
  v_alone := array(select t.n from unnest(v_how) with ordinality as t (how, n)
                    where t.how in ('new', 'known', 'again') or t.n = any (v_alone) order by 1);

  if cardinality(v_alone) > 0 then
    for r in select d.place, d.doc from public.wa_internal_documents(args, v_alone) d order by d.place loop
      made := public.wa_internal_settle(r.doc, r.place, v_ids[r.place], v_now, v_version);
      v_how[r.place] := made.how;
      v_ids[r.place] := made.event_id;
      v_states := array_append(v_states, made.state);
      if made.how = 'duplicate' then
        v_duplicates := v_duplicates || made.delivery_id;
      elsif made.how = 'lost' then
        v_lost := v_lost + 1;
      end if;
    end loop;
  end if;

  v_done := public.wa_internal_end_deliveries(args -> 'deliveries', v_held, v_duplicates, v_now);
  if args ? 'drift' then
    perform public.wa_internal_count_drift(
      args -> 'drift', array(select case when t.how in ('plain', 'new') then t.id else 0 end
                               from unnest(v_how, v_ids) with ordinality as t (how, id, n) order by t.n));
  end if;
  v_answer := public.wa_internal_tally(args -> 'events', v_how, v_alone, v_states)
    || jsonb_build_object('deliveries', v_done, 'lost', v_lost);
  return public.wa_internal_remember(v_nonce, v_answer);
end $$;

-- Those of the deliveries that are still leased under their token and not split. Nobody else gets them until we end.
create function public.wa_internal_held(p_deliveries jsonb)
returns bigint[] language plpgsql set search_path = '' as $$
begin
  return array(
    select w.delivery_id
      from jsonb_to_recordset(p_deliveries) as d (id bigint, token text)
      join public.wa_delivery_work w on w.delivery_id = d.id
     where w.split_at is null and w.lease_token = d.token
     order by w.delivery_id for update of w);
end $$;

-- How each event is to be settled: `plain` together with others; `new`, `known` (it, or its key, may be in the log) and
-- `again` (one of the log) on its own; `duplicate` and `same` not at all, since the log has it, from another delivery or
-- from this very one; `lost` neither.
create function public.wa_internal_sort_out(p_events jsonb, p_held bigint[])
returns table (place integer, how text, delivery_id bigint) language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  select e.place,
         case when e.id is not null then 'again'
              when h.id is null then 'lost'
              when e.nth > 1 then 'known'
              when k.id is null then case when e.plain then 'plain' else 'new' end
              when k.digest <> e.digest then 'new'
              when k.state <> 'processed' then 'known'
              when k.delivery_id = e.delivery_id and k.position = e.position then 'same'
              else 'duplicate' end,
         e.delivery_id
    from (select r.*, row_number() over (partition by r.key order by r.place) as nth
            from jsonb_to_recordset(p_events) as r (
                   place integer, id bigint, delivery_id bigint, position integer, plain boolean,
                   key text collate "C", digest text)) e
    left join unnest(p_held) as h (id) on h.id = e.delivery_id
    left join public.wa_events k on k.event_key = e.key and e.id is null;
end $$;

-- What is told of each of some events: { event: its row, statuses: [...], ... }
create function public.wa_internal_documents(p_rows jsonb, p_places integer[])
returns table (place integer, doc jsonb) language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  select e.place, jsonb_build_object('event', e.event) || coalesce(t.rows, '{}')
    from (select (v.event ->> 'place')::integer as place, v.event
            from jsonb_array_elements(p_rows -> 'events') as v (event)) e
    left join (
      select g.place, jsonb_object_agg(g.name, g.rows) as rows
        from (select n.name, (v.row ->> 'place')::integer as place, jsonb_agg(v.row order by v.n) as rows
                from unnest('{sightings,messages,statuses,calls,lead_events,account_events,actions}'::text[]) as n (name)
               cross join lateral jsonb_array_elements(p_rows -> n.name) with ordinality as v (row, n)
               where (v.row ->> 'place')::integer = any (p_places)
               group by 1, 2) g
       group by 1) t on t.place = e.place
   where e.place = any (p_places);
end $$;

-- Settle one event: a new one under the id `p_id`, or under a new one if that is 0; or one of the log.
create function public.wa_internal_settle(
  p_doc jsonb, p_place integer, p_id bigint, p_now timestamptz, p_version text,
  out how text, out state text, out event_id bigint, out delivery_id bigint
) language plpgsql set search_path = '' as $$
#variable_conflict use_variable
declare
  e record;
  logged record;
  v_key text;
begin
  e := public.wa_internal_event(p_doc -> 'event');
  delivery_id := e.delivery_id;
  if e.id is not null then
    select l.id, l.attempts into logged from public.wa_events l
     where l.id = e.id and l.lease_token = e.token and l.leased_until is not null for update;
    if not found then
      how := 'lost';
      return;
    end if;
    how := 'again';
    event_id := e.id;
    state := public.wa_internal_attempt(p_doc, p_place, e.id, logged.attempts, p_now, p_version);
    return;
  end if;

  v_key := e.key;
  select * into logged from public.wa_events l where l.event_key = v_key;
  if found and logged.digest <> e.digest then
    -- The same message, status or call, told differently: both are kept, and the changes join.
    v_key := e.key || '~' || left(e.digest, 16);
    select * into logged from public.wa_events l where l.event_key = v_key;
  end if;
  if logged.id is null then
    how := 'new';
    event_id := public.wa_internal_log(p_doc -> 'event', v_key, p_id);
    state := public.wa_internal_attempt(p_doc, p_place, event_id, 0, p_now, p_version);
  elsif logged.delivery_id = e.delivery_id and logged.position = e.position then
    how := 'same';
  else
    how := 'duplicate';
    if e.state = 'processed' and logged.state <> 'processed' and coalesce(logged.leased_until <= p_now, true) then
      event_id := logged.id;
      state := public.wa_internal_attempt(p_doc, p_place, logged.id, logged.attempts, p_now, p_version);
    end if;
  end if;
end $$;

create function public.wa_internal_event(
  p_event jsonb, out id bigint, out token text, out type text, out payload text, out received_at timestamptz,
  out key text, out digest text, out delivery_id bigint, out "position" integer, out at timestamptz,
  out account_id text, out phone_number_id text, out message_id text, out call_id text, out run_id text,
  out state text, out error text, out error_class text, out next_attempt_at timestamptz, out handled_by text,
  out otherwise text, out otherwise_at timestamptz
) language sql immutable set search_path = '' as $$
  select r.* from jsonb_to_record(p_event) as r (
    id bigint, token text, type text, payload text, received_at timestamptz,
    key text, digest text, delivery_id bigint, "position" integer, at timestamptz,
    account_id text, phone_number_id text, message_id text, call_id text, run_id text,
    state text, error text, error_class text, next_attempt_at timestamptz, handled_by text,
    otherwise text, otherwise_at timestamptz)
$$;

-- Enter a new event in the log, not settled yet; return its id.
create function public.wa_internal_log(p_event jsonb, p_key text, p_id bigint)
returns bigint language plpgsql set search_path = '' as $$
declare
  v_id constant bigint := coalesce(nullif(p_id, 0), nextval('public.wa_events_id_seq'));
  e record;
begin
  e := public.wa_internal_event(p_event);
  insert into public.wa_events (id, tipo_evento, payload_original, fecha_recepcion, event_key, digest, delivery_id,
    position, event_at, account_id, phone_number_id, message_id, call_id, state, attempts, run_id)
  overriding system value
  values (v_id, e.type, e.payload::json, e.received_at, p_key, e.digest, e.delivery_id,
    e.position, e.at, e.account_id, e.phone_number_id, e.message_id, e.call_id, 'pending', 0, e.run_id);
  return v_id;
end $$;

-- Apply an event's changes and write its verdict; if they cannot be applied, the other one. Return the state it is in.
create function public.wa_internal_attempt(
  p_doc jsonb, p_place integer, p_event_id bigint, p_attempts integer, p_now timestamptz, p_version text
) returns text language plpgsql set search_path = '' as $$
declare
  e record;
  v_state text;
  v_error text;
  v_error_class text;
  v_next timestamptz;
  v_lead_id bigint;
begin
  e := public.wa_internal_event(p_doc -> 'event');
  v_state := e.state;
  v_error := e.error;
  v_error_class := e.error_class;
  v_next := e.next_attempt_at;
  if v_state = 'processed' and p_doc - 'event' <> '{}' then
    begin
      v_lead_id := public.wa_internal_apply(p_doc, p_place, p_event_id);
    exception when others then
      if not public.wa_internal_is_refusal(sqlstate) then
        raise;
      end if;
      v_state := e.otherwise;
      v_error := 'the changes cannot be stored: ' || sqlerrm;
      v_error_class := sqlstate;
      v_next := e.otherwise_at;
      v_lead_id := null;
    end;
  end if;
  update public.wa_events l
     set state = v_state, attempts = p_attempts + 1, error = v_error, error_class = v_error_class,
         next_attempt_at = v_next, handled_by = e.handled_by, handler_version = p_version,
         lead_id = coalesce(v_lead_id, l.lead_id), run_id = coalesce(e.run_id, l.run_id), leased_until = null
   where l.id = p_event_id;
  insert into public.wa_attempts (event_id, attempt, at, state, error, error_class, handler_version, run_id)
  values (p_event_id, p_attempts + 1, p_now, v_state, v_error, v_error_class, p_version, e.run_id);
  return v_state;
end $$;

-- Apply the changes of one event; return the lead it is about, if any.
create function public.wa_internal_apply(p_doc jsonb, p_place integer, p_event_id bigint)
returns bigint language plpgsql set search_path = '' as $$
declare
  v_ids bigint[] := '{}'::bigint[];
  v_leads bigint[] := '{}'::bigint[];
  v_seen jsonb;
begin
  v_ids[p_place] := p_event_id;
  for v_seen in select t.row from jsonb_array_elements(p_doc -> 'sightings') as t (row) loop
    perform public.wa_internal_see(p_event_id, v_seen);
  end loop;
  -- Asked for at the end: one sighting can make the leads of two others one.
  for v_seen in select t.row from jsonb_array_elements(p_doc -> 'sightings') as t (row) loop
    v_leads[p_place + (v_seen ->> 'person')::integer] := (
      select s.lead_id from public.wa_lead_sightings s
       where s.event_id = p_event_id and s.ident = v_seen ->> 'ident');
  end loop;
  perform public.wa_internal_write(p_doc, v_ids, v_leads);
  return v_leads[p_place];
end $$;

-- Mark deliveries as split, with the last of their events; return how many.
create function public.wa_internal_end_deliveries(
  p_deliveries jsonb, p_held bigint[], p_duplicates bigint[], p_now timestamptz
) returns integer language plpgsql set search_path = '' as $$
declare
  v_done integer;
begin
  update public.wa_delivery_work w
     set split_at = p_now, events = d.size, leased_until = null,
         duplicates = case
           -- Begun in a transaction before this one: what the log has of it is what was new.
           when d.begun then d.size - (select count(*) from public.wa_events e where e.delivery_id = d.id)
           else coalesce(t.duplicates, 0) end
    from jsonb_to_recordset(p_deliveries) as d (id bigint, size integer, ends boolean, begun boolean)
    left join (select u.id, count(*) as duplicates from unnest(p_duplicates) as u (id) group by 1) t on t.id = d.id
   where d.ends and d.id = any (p_held) and w.delivery_id = d.id;
  get diagnostics v_done = row_count;
  return v_done;
end $$;

-- Count what the models do not know in new events. The last that is written, and in one order: all accounts share it.
create function public.wa_internal_count_drift(p_drift jsonb, p_ids bigint[])
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_drift as d (kind, path, detail, events, first_at, last_at, event_id)
  select r.kind, r.path, r.detail, count(*), min(r.at), max(r.at), (array_agg(p_ids[r.place] order by r.place))[1]
    from jsonb_to_recordset(p_drift) as r (
           place integer, kind text collate "C", path text collate "C", detail text collate "C", at timestamptz)
   where p_ids[r.place] > 0
   group by 1, 2, 3
   order by 1, 2, 3
  on conflict (kind, path, detail) do update
     set events = d.events + excluded.events, first_at = least(d.first_at, excluded.first_at),
         last_at = greatest(d.last_at, excluded.last_at);
end $$;

-- How many events were left how. `p_states` are the states of those that were settled on their own.
create function public.wa_internal_tally(p_events jsonb, p_how text[], p_alone integer[], p_states text[])
returns jsonb language plpgsql set search_path = '' as $$
declare
  v_seen integer;
  v_new integer;
  v_types jsonb;
  v_states jsonb;
begin
  select sum(t.events), sum(t.new), jsonb_object_agg(t.type, t.events)
    into v_seen, v_new, v_types
    from (select r.type, count(*) as events, count(*) filter (where p_how[r.place] in ('plain', 'new')) as new
            from jsonb_to_recordset(p_events) as r (place integer, type text collate "C")
           where p_how[r.place] <> 'lost' group by 1) t;
  select jsonb_object_agg(t.state, t.events) into v_states
    from (select u.state, count(*) as events
            from (select r.state from jsonb_to_recordset(p_events) as r (place integer, state text)
                   where p_how[r.place] = 'plain' and r.place <> all (p_alone)
                  union all
                  select s.state from unnest(p_states) as s (state) where s.state is not null) u
           group by 1) t;
  return coalesce(v_states, '{}') || jsonb_build_object(
    'events', coalesce(v_seen, 0), 'new', coalesce(v_new, 0), 'by_type', coalesce(v_types, '{}'),
    'duplicates', cardinality(array_positions(p_how, 'duplicate')));
end $$;

insert into public.wa_migrations (name) values ('0012_finish') on conflict do nothing;
