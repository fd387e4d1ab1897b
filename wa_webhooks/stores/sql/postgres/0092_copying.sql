-- Whole tables read and written row by row, for copies from one store to another. A row on its way is an object of the
-- columns, each as SQLite has it: times as text, truth as 0 and 1, JSON as text, bytes in base64.

-- The tables that are copied, and by which columns their rows are in order.
create function public.wa_internal_copied(of_table text) returns text[]
  language plpgsql immutable set search_path = '' as $$
begin
  return case of_table
    when 'wa_runs' then array['id']
    when 'wa_leads' then array['id']
    when 'wa_deliveries' then array['id']
    when 'wa_delivery_work' then array['delivery_id']
    when 'wa_events' then array['id']
    when 'wa_attempts' then array['id']
    when 'wa_actions' then array['id']
    when 'wa_lead_identities' then array['scope', 'kind', 'value']
    when 'wa_lead_sightings' then array['event_id', 'ident']
    when 'wa_number_changes' then array['event_id']
    when 'wa_number_holders' then array['scope', 'number', 'since']
    when 'wa_lead_events' then array['event_id', 'topic', 'ident']
    when 'wa_messages' then array['id']
    when 'wa_message_statuses' then array['event_id']
    when 'wa_calls' then array['id']
    when 'wa_account_events' then array['event_id']
    when 'wa_drift' then array['kind', 'path', 'detail']
    when 'wa_rejections' then array['id']
    when 'wa_rejection_counts' then array['hour', 'cause']
  end;
end $$;

-- The columns of a table that are written, in their order, with their types.
create function public.wa_internal_columns(of_table text) returns table (name text, kind text)
  language plpgsql stable set search_path = '' as $$
begin
  if public.wa_internal_copied(of_table) is null then
    raise exception 'there is no table % to copy', of_table using errcode = 'P0001';
  end if;
  return query
    select a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod)
      from pg_catalog.pg_attribute a
     where a.attrelid = format('public.%I', of_table)::regclass
       and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
     order by a.attnum;
end $$;

-- {table, after: [values of the key] or null, limit, bytes} -> {"rows": [...]}: in order, fewer where they are large.
create function public.wa_copy_read(args jsonb) returns json
  language plpgsql stable set search_path = '' set timezone = 'UTC' as $$
declare
  of_table text := args->>'table';
  key text[] := public.wa_internal_copied(args->>'table');
  columns text;
  behind text := 'true';
  found json;
begin
  select string_agg(
           format('%L, %s', c.name, case c.kind
             when 'timestamp with time zone' then
               format('case when isfinite(t.%1$I) then public.wa_internal_text(t.%1$I)'
                      ' when t.%1$I is not null then '''' end', c.name)
             when 'bytea' then format('encode(t.%I, ''base64'')', c.name)
             when 'boolean' then format('t.%I::integer', c.name)
             when 'json' then format('t.%I::text', c.name)
             when 'jsonb' then format('t.%I::text', c.name)
             else format('t.%I', c.name) end), ', ')
    into columns from public.wa_internal_columns(of_table) c;
  if jsonb_typeof(args->'after') = 'array' then
    select format('(%s) > (%s)', string_agg(format('t.%I', k.name), ', ' order by k.place),
                  string_agg(format('($1->>%s)::%s', k.place - 1, c.kind), ', ' order by k.place))
      into behind
      from unnest(key) with ordinality k(name, place)
      join public.wa_internal_columns(of_table) c on c.name = k.name;
  end if;
  execute format(
    'with page as (select t.* from public.%1$I t where %2$s order by %3$s limit $2),'
    ' sized as (select json_build_object(%4$s) as made, row_number() over (order by %3$s) as place from page t),'
    ' summed as (select made, place, sum(octet_length(made::text)) over (order by place) as size from sized)'
    ' select coalesce(json_agg(made order by place), ''[]'') from summed where place = 1 or size <= $3',
    of_table, behind, (select string_agg(format('t.%I', k), ', ') from unnest(key) k), columns)
    using args->'after', (args->>'limit')::integer, (args->>'bytes')::bigint into found;
  return json_build_object('rows', found);
end $$;

-- {table, rows} -> {"written"}: rows that are there already stay as they are.
create function public.wa_copy_write(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  of_table text := args->>'table';
  names text;
  given text;
  written bigint;
  of_ids text;
begin
  select string_agg(format('%I', c.name), ', '),
         string_agg(case
           when of_table = 'wa_delivery_work' and c.name = 'account' then
             '(select public.wa_internal_account(d.body) from public.wa_deliveries d'
             ' where d.id = (r.value->>''delivery_id'')::bigint)'
           when of_table = 'wa_delivery_work' and c.name = 'size' then
             '(select octet_length(d.body) from public.wa_deliveries d where d.id = (r.value->>''delivery_id'')::bigint)'
           when c.kind = 'bytea' then format('decode(r.value->>%L, ''base64'')', c.name)
           when c.kind = 'timestamp with time zone' then
             format('case when r.value->>%1$L = '''' then ''-infinity'' else (r.value->>%1$L)::timestamptz end', c.name)
           else format('(r.value->>%L)::%s', c.name, c.kind) end, ', ')
    into names, given from public.wa_internal_columns(of_table) c;
  if of_table in ('wa_deliveries', 'wa_events', 'wa_attempts') then
    perform public.wa_internal_will_insert(substr(of_table, 4));
  end if;
  execute format('insert into public.%I (%s) select %s from jsonb_array_elements($1) r on conflict do nothing',
                 of_table, names, given) using args->'rows';
  get diagnostics written = row_count;
  of_ids := case when exists (select from public.wa_internal_columns(of_table) c where c.name = 'id' and c.kind = 'bigint')
              then pg_catalog.pg_get_serial_sequence(format('public.%I', of_table), 'id') end;
  if of_ids is not null then  -- ids that are given out from now on are behind all of these
    execute format('select setval(%L, greatest((select last_value from %s), (select max(t.id) from public.%I t)))',
                   of_ids, of_ids, of_table);
  end if;
  return jsonb_build_object('written', written);
end $$;

do $$
declare
  name text;
begin
  for name in select p.oid::regprocedure::text
                from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = 'public'
                 and p.proname in ('wa_internal_copied', 'wa_internal_columns', 'wa_copy_read', 'wa_copy_write')
  loop
    execute format('revoke all on function %s from public', name);
    if exists (select from pg_roles where rolname = 'anon') then
      execute format('revoke all on function %s from anon, authenticated', name);
      execute format('grant execute on function %s to service_role', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'service_role') then
    grant select, usage, update on sequence public.wa_deliveries_id_seq, public.wa_events_id_seq,
      public.wa_attempts_id_seq, public.wa_actions_id_seq, public.wa_leads_id_seq, public.wa_messages_id_seq,
      public.wa_calls_id_seq to service_role;
  end if;
end $$;

insert into public.wa_migrations (name) values ('0092_copying') on conflict do nothing;
