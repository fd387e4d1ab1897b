-- What the store tells of itself. Functions that are stable see one snapshot.

-- The conditions of a query, over wa_events as `e`: SQL in which every value is quoted. {ids, keys, states, types, since,
-- until, lead, error, run, mentions, delivery, message, call, after_id}; what is not set is missing.
create function public.wa_internal_conditions(query jsonb) returns text
  language plpgsql stable set search_path = '' as $$
declare
  found text[] := '{true}'::text[];
begin
  if query ? 'ids' then
    found := found || format('e.id = any (%L::bigint[])', array(select jsonb_array_elements_text(query->'ids'))::text);
  end if;
  if query ? 'keys' then
    found := found || format('e.event_key = any (%L::text[])',
                             array(select jsonb_array_elements_text(query->'keys'))::text);
  end if;
  if query ? 'states' then
    found := found || format('e.state in (%s)', (
      select string_agg(quote_literal(s), ', ') from jsonb_array_elements_text(query->'states') s));
    if not query->'states' ? 'processed' then
      found := found || 'e.state <> ''processed'''::text;  -- as the partial index says it
    end if;
  end if;
  if query ? 'types' then
    found := found || format('(%s)', (
      select string_agg(case when t like '%.*'
                             then format('(e.tipo_evento >= %L and e.tipo_evento < %L)', left(t, -1), left(t, -2) || '/')
                             else format('e.tipo_evento = %L', t) end, ' or ')
        from jsonb_array_elements_text(query->'types') t));
  end if;
  if query ? 'since' then
    found := found || format('e.fecha_recepcion >= %L::timestamptz', query->>'since');
  end if;
  if query ? 'until' then
    found := found || format('e.fecha_recepcion < %L::timestamptz', query->>'until');
  end if;
  if query ? 'error' then
    found := found || format('(e.error is not null and strpos(lower(e.error), lower(%L)) > 0)', query->>'error');
  end if;
  if query ? 'lead' then
    -- What failed has no lead yet: it is found by the lead's ids in its payload, among the few that are not processed.
    found := found || format($c$e.id in (
      select l.id from public.wa_events l where l.lead_id = %1$L::bigint
      union all
      select u.id from public.wa_events u
       where u.lead_id is null and u.state <> 'processed' and exists (
             select from public.wa_lead_identities i
              where i.lead_id = %1$L::bigint and strpos(u.payload_original::text, i.value) > 0))$c$, query->>'lead');
  end if;
  if query ? 'run' then
    found := found || format($c$e.id in (
      select r.id from public.wa_events r where r.run_id = %1$L
      union
      select a.event_id from public.wa_attempts a where a.run_id = %1$L)$c$, query->>'run');
  end if;
  if query ? 'mentions' then
    found := found || format('strpos(e.payload_original::text, %L) > 0', query->>'mentions');
  end if;
  if query ? 'delivery' then
    found := found || format('e.delivery_id = %L::bigint', query->>'delivery');
  end if;
  if query ? 'message' then
    found := found || format('e.message_id = %L', query->>'message');
  end if;
  if query ? 'call' then
    found := found || format('e.call_id = %L', query->>'call');
  end if;
  if query ? 'after_id' then
    found := found || format('e.id > %L::bigint', query->>'after_id');
  end if;
  return array_to_string(found, ' and ');
end $$;

-- The columns of a log line. The payload is JSON as text: jsonb does not take all of it.
create function public.wa_internal_columns() returns text language sql immutable set search_path = '' as $$
  select 'e.id, e.tipo_evento, e.payload_original::text as payload_original, e.fecha_recepcion, e.procesado, e.error,
          e.event_key, e.event_at, e.lead_id, e.state, e.attempts, e.delivery_id, e.error_class, e.next_attempt_at,
          e.account_id, e.phone_number_id, e.message_id, e.call_id, e.handled_by, e.handler_version, e.run_id'
$$;

-- {query, limit, newest} -> {"events": [...]}; with after_id or after_attempt in the query, what may be followed.
create function public.wa_find(args jsonb) returns json
  language plpgsql set search_path = '' set timezone = 'UTC' as $$
declare
  query jsonb := args->'query';
  conditions text := public.wa_internal_conditions(query);
  direction text := case when (args->>'newest')::boolean then 'desc' else 'asc' end;
  settled bigint := public.wa_internal_settled('attempts');
  lines json;
begin
  if query ? 'after_attempt' then
    execute format($q$
      select coalesce(json_agg(row_to_json(f) order by f.attempt_id), '[]')
        from (select %s, a.id as attempt_id from public.wa_attempts a join public.wa_events e on e.id = a.event_id
               where a.id > %L::bigint and a.id <= %L::bigint and %s order by a.id %s limit %L::bigint) f $q$,
      public.wa_internal_columns(), query->>'after_attempt', settled, conditions, direction, args->>'limit') into lines;
  else
    if query ? 'after_id' then
      conditions := format('e.id <= %L::bigint and %s', public.wa_internal_settled('events'), conditions);
    end if;
    if query ? 'until' and (args->>'newest')::boolean and query - 'since' - 'until' = '{}' then
      -- By the index of times alone: on the way back by id, everything newer would have to be passed.
      conditions := format('e.id = any (array(select e.id from public.wa_events e where %s
                                               order by e.id + 0 desc limit %L::bigint))', conditions, args->>'limit');
    end if;
    execute format($q$
      select coalesce(json_agg(row_to_json(f) order by f.id), '[]')
        from (select %s, (select max(a.id) from public.wa_attempts a where a.event_id = e.id and a.id <= %L::bigint)
                         as attempt_id
                from public.wa_events e where %s order by e.id %s limit %L::bigint) f $q$,
      public.wa_internal_columns(), settled, conditions, direction, args->>'limit') into lines;
  end if;
  return json_build_object('events', lines);
end $$;

create function public.wa_internal_events(query jsonb) returns json
  language plpgsql stable set search_path = '' as $$
declare
  lines json;
begin
  execute format('select coalesce(json_agg(row_to_json(f) order by f.id), ''[]'') from (
                    select %s, null::bigint as attempt_id from public.wa_events e where %s) f',
                 public.wa_internal_columns(), public.wa_internal_conditions(query)) into lines;
  return lines;
end $$;

create function public.wa_internal_get_event(ident jsonb) returns json
  language plpgsql stable set search_path = '' as $$
declare
  line json := public.wa_internal_events(
    jsonb_build_object(case jsonb_typeof(ident) when 'number' then 'ids' else 'keys' end, jsonb_build_array(ident)))->0;
begin
  if line is null then
    return null;
  end if;
  return json_build_object('event', line, 'history', (
    select coalesce(json_agg(json_build_object(
             'attempt', a.attempt, 'at', a.at, 'state', a.state, 'error', a.error, 'error_class', a.error_class,
             'handler_version', a.handler_version, 'run_id', a.run_id) order by a.id), '[]')
      from public.wa_attempts a where a.event_id = (line->>'id')::bigint));
end $$;

create function public.wa_internal_get_delivery(ident bigint) returns json
  language plpgsql stable set search_path = '' as $$
begin
  return (
    select json_build_object(
             'id', d.id, 'received_at', d.received_at, 'source', d.source, 'source_ip', d.source_ip,
             'signature_key', d.signature_key, 'run_id', d.run_id, 'headers', d.headers,
             'body', encode(d.body, 'base64'), 'split_at', w.split_at, 'events', w.events, 'duplicates', w.duplicates,
             'body_size', octet_length(d.body),
             'logged', public.wa_internal_events(jsonb_build_object('delivery', d.id)))
      from public.wa_deliveries d left join public.wa_delivery_work w on w.delivery_id = d.id where d.id = ident);
end $$;

create function public.wa_internal_get_message(ident text) returns json
  language plpgsql stable set search_path = '' as $$
declare
  rows json := (select coalesce(json_agg(row_to_json(m) order by m.phone_number_id), '[]')
                   from public.wa_messages m where m.wamid = ident);
  logged json := public.wa_internal_events(jsonb_build_object('message', ident));
begin
  if json_array_length(rows) + json_array_length(logged) = 0 then
    return null;
  end if;
  return json_build_object('wamid', ident, 'messages', rows, 'logged', logged, 'statuses', (
    select coalesce(json_agg(json_build_object(
             'status', s.status, 'at', s.at, 'event_id', s.event_id, 'tag', s.tag,
             'pricing_category', s.pricing_category, 'pricing_type', s.pricing_type, 'error_code', s.error_code,
             'error_text', s.error_text) order by s.at, s.event_id), '[]')
      from public.wa_message_statuses s where s.wamid = ident));
end $$;

create function public.wa_internal_get_call(ident text) returns json
  language plpgsql stable set search_path = '' as $$
declare
  rows json := (select coalesce(json_agg(row_to_json(c) order by c.phone_number_id), '[]')
                   from public.wa_calls c where c.call_id = ident);
  logged json := public.wa_internal_events(jsonb_build_object('call', ident));
begin
  if json_array_length(rows) + json_array_length(logged) = 0 then
    return null;
  end if;
  return json_build_object('call_id', ident, 'calls', rows, 'logged', logged);
end $$;

-- By its id; or by an identity as it is written, else any variant of a phone number.
create function public.wa_internal_get_lead(ident jsonb, given_number text) returns json
  language plpgsql stable set search_path = '' as $$
declare
  lead bigint;
begin
  if jsonb_typeof(ident) = 'number' then
    lead := ident::bigint;
  else
    select i.lead_id into lead from public.wa_lead_identities i
     where i.value = ident#>>'{}' or i.number = given_number
     group by i.lead_id order by bool_or(i.value = ident#>>'{}') desc, i.lead_id limit 1;
  end if;
  return (
    select json_build_object(
             'lead', row_to_json(l),
             'identities', (select coalesce(json_agg(json_build_object('kind', i.kind, 'value', i.value)
                                                      order by i.kind, i.value), '[]')
                              from public.wa_lead_identities i where i.lead_id = l.id),
             'timeline', (select coalesce(json_agg(json_build_object(
                                            'at', t.at, 'kind', t.kind, 'direction', t.direction, 'what', t.what,
                                            'detail', t.detail, 'ref', t.ref) order by t.at, t.ref, t.kind, t.what), '[]')
                            from public.wa_lead_timeline t where t.lead_id = l.id))
      from public.wa_leads l where l.id = lead);
end $$;

-- {kind, id, number} -> {"found": the record or null}
create function public.wa_get(args jsonb) returns json
  language plpgsql stable set search_path = '' set timezone = 'UTC' as $$
begin
  return json_build_object('found', case args->>'kind'
    when 'event' then public.wa_internal_get_event(args->'id')
    when 'delivery' then public.wa_internal_get_delivery((args->>'id')::bigint)
    when 'message' then public.wa_internal_get_message(args->>'id')
    when 'call' then public.wa_internal_get_call(args->>'id')
    when 'lead' then public.wa_internal_get_lead(args->'id', args->>'number')
    when 'run' then (select row_to_json(r) from public.wa_runs r where r.id = args->>'id')
  end);
end $$;

insert into public.wa_migrations (name) values ('0005_reading') on conflict do nothing;
