-- How much there is, what a query selects, and events taken back to pending.

-- How many deliveries and events a worker has leased, and until when.
create function public.wa_internal_leases(of_worker text)
  returns table (deliveries bigint, events bigint, until timestamptz)
  language plpgsql stable set search_path = '' as $$
begin
  return query
  select count(w.delivery_id), count(e.id), max(coalesce(w.leased_until, e.leased_until))
    from public.wa_claims c
   cross join lateral unnest(c.ids) i(id)
    left join public.wa_delivery_work w on c.kind = 'deliveries' and w.delivery_id = i.id and w.split_at is null
                                           and w.lease_token = c.token and w.leased_until > now()
    left join public.wa_events e on c.kind = 'events' and e.id = i.id
                                    and e.lease_token = c.token and e.leased_until > now()
   where c.worker = of_worker and c.until > now();
end $$;

-- {} -> how much of everything there is
create function public.wa_counts(args jsonb) returns json
  language plpgsql stable set search_path = '' set timezone = 'UTC' as $$
declare
  -- Each by an index alone: the rows of a long log are not looked at.
  types json := (select coalesce(json_object_agg(t.tipo_evento, t.events order by t.tipo_evento), '{}')
                    from (select e.tipo_evento, count(*) as events from public.wa_events e group by e.tipo_evento) t);
  states json := (select coalesce(json_object_agg(s.state, s.events), '{}')
                     from (select e.state, count(*) as events from public.wa_events e
                            where e.state <> 'processed' group by e.state) s);
begin
  return json_build_object(
    'deliveries', (select count(*) from public.wa_deliveries),
    'backlog', (select count(*) from public.wa_delivery_work w where w.split_at is null),
    'oldest_waiting', (
      select d.received_at from public.wa_delivery_work w join public.wa_deliveries d on d.id = w.delivery_id
       where w.split_at is null order by w.not_before, w.delivery_id limit 1),
    'by_type', types,
    'by_state', states,
    'next_attempt_at', (select min(e.next_attempt_at) from public.wa_events e where e.state = 'failed'),
    'actions_queued', (select count(*) from public.wa_actions a where a.state = 'queued'),
    'leads', (select count(*) from public.wa_leads),
    'messages', (select count(*) from public.wa_messages),
    'message_statuses', (select count(*) from public.wa_message_statuses),
    'calls', (select count(*) from public.wa_calls),
    'account_events', (select count(*) from public.wa_account_events),
    'app_secrets', (
      select coalesce(json_agg(row_to_json(k) order by k.last_at desc, k.label), '[]')
        from (select d.signature_key as label, count(*) as deliveries, min(d.received_at) as first_at,
                     max(d.received_at) as last_at
                from public.wa_deliveries d where d.signature_key is not null group by d.signature_key) k),
    'workers', (
      select coalesce(json_agg(json_build_object(
               'name', w.name, 'seen_at', w.seen_at, 'deliveries', coalesce(l.deliveries, 0),
               'events', coalesce(l.events, 0), 'until', l.until) order by w.seen_at desc, w.name), '[]')
        from public.wa_workers w
        left join lateral public.wa_internal_leases(w.name) l on true
       where w.seen_at > now() - interval '1 hour'));
end $$;

-- {run_id} -> {deliveries, open, events, duplicates, "by_state"}
create function public.wa_run_counts(args jsonb) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return (
    select jsonb_build_object('deliveries', count(*), 'open', count(*) - count(w.split_at),
                              'events', coalesce(sum(w.events), 0), 'duplicates', coalesce(sum(w.duplicates), 0))
      from public.wa_deliveries d left join public.wa_delivery_work w on w.delivery_id = d.id
     where d.run_id = args->>'run_id')
    || jsonb_build_object('by_state', (
    select coalesce(jsonb_object_agg(s.state, s.events), '{}')
      from (select e.state, count(*) as events from public.wa_events e
             where e.run_id = args->>'run_id' group by e.state) s));
end $$;

-- {query} -> {events, leads, by_type, by_state, by_handlers}
create function public.wa_preview(args jsonb) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  conditions text := public.wa_internal_conditions(args->'query');
  found jsonb;
begin
  execute format($q$
    with groups as materialized (
      select e.tipo_evento, e.state, coalesce(e.handled_by, '') as handled_by, count(*) as events
        from public.wa_events e where %1$s group by e.tipo_evento, e.state, coalesce(e.handled_by, '')
    )
    select jsonb_build_object(
      'events', (select coalesce(sum(g.events), 0) from groups g),
      'leads', (select count(distinct e.lead_id) from public.wa_events e where %1$s),
      'by_type', (select coalesce(jsonb_object_agg(t.tipo_evento, t.events), '{}')
                    from (select g.tipo_evento, sum(g.events) as events from groups g group by g.tipo_evento) t),
      'by_state', (select coalesce(jsonb_object_agg(s.state, s.events), '{}')
                     from (select g.state, sum(g.events) as events from groups g group by g.state) s),
      'by_handlers', (select coalesce(jsonb_object_agg(h.handled_by, h.events), '{}')
                        from (select g.handled_by, sum(g.events) as events from groups g group by g.handled_by) h))
    $q$, conditions) into found;
  return found;
end $$;

-- {query, run_id, now, abandoned_at, after, limit, nonce} -> {"requeued": how many, "last": id, or null at the end}
-- The lease goes too: a worker that comes late must not settle, with older handlers, what a run has taken.
create function public.wa_requeue(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  before jsonb := public.wa_internal_answered(args->>'nonce');
  conditions text := public.wa_internal_conditions(args->'query');
  chosen bigint[];
  requeued integer;
begin
  if before is not null then
    return before;
  end if;
  execute format('select array_agg(c.id) from (
                    select e.id from public.wa_events e where e.id > %L::bigint and %s order by e.id limit %L::bigint) c',
                 args->>'after', conditions, args->>'limit') into chosen;
  execute format('update public.wa_events e
                     set state = ''pending'', attempts = 0, next_attempt_at = %L::timestamptz, run_id = %L,
                         lease_token = null, leased_until = null
                   where e.id = any ($1) and (e.leased_until is null or e.leased_until <= %L::timestamptz) and %s',
                 args->>'abandoned_at', args->>'run_id', args->>'now', conditions) using chosen;
  get diagnostics requeued = row_count;
  return public.wa_internal_remember(args->>'nonce', jsonb_build_object(
    'requeued', requeued, 'last', chosen[cardinality(chosen)]));
end $$;

-- {} -> {"drift": [...]}, last seen first
create function public.wa_drift_seen(args jsonb) returns json
  language plpgsql stable set search_path = '' set timezone = 'UTC' as $$
begin
  return json_build_object('drift', (
    select coalesce(json_agg(json_build_object(
             'kind', d.kind, 'path', d.path, 'detail', d.detail, 'events', d.events, 'first_at', d.first_at,
             'last_at', d.last_at, 'event_id', d.event_id, 'tipo_evento', e.tipo_evento,
             'payload_original', e.payload_original::text)
             order by d.last_at desc, d.path, d.kind, d.detail), '[]')
      from public.wa_drift d join public.wa_events e on e.id = d.event_id));
end $$;

insert into public.wa_migrations (name) values ('0006_counting') on conflict do nothing;
