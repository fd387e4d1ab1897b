-- What a rebuild needs: the tables page by page, whether anything was settled meanwhile, and rows put in the place of
-- those that differ. The rebuild itself is in stores/rpc/rebuilding.py.

-- {low} -> {low, newer}: an attempt up to which all are known, and how many there are after it. Whatever settles an event
-- makes an attempt.
create function public.wa_rebuild_mark(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_low constant bigint := coalesce((args ->> 'low')::bigint, public.wa_internal_settled('attempts'));
begin
  return jsonb_build_object('low', v_low,
    'newer', (select count(*) from public.wa_attempts a where a.id > v_low));
end $$;

-- The type of a column of ours; an error where there is none.
create function public.wa_internal_type(p_table text, p_column text)
returns text language plpgsql stable set search_path = '' as $$
declare
  v_type text;
begin
  select pg_catalog.format_type(a.atttypid, a.atttypmod) into v_type
    from pg_catalog.pg_attribute a
   where a.attrelid = pg_catalog.to_regclass('public.' || pg_catalog.quote_ident(p_table)) and a.attname = p_column
     and a.attnum > 0 and p_table like 'wa\_%';
  if v_type is null then
    raise exception 'no column % of %', p_column, p_table using errcode = 'P0001';
  end if;
  return v_type;
end $$;

-- {table, columns, key, after, limit} -> {rows}: rows in the order of the key, from after some values of it on. Values are
-- as SQLite has them.
create function public.wa_rebuild_page(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_table constant text := args ->> 'table';
  v_key constant text := (select string_agg(format('t.%I', k), ', ' order by n)
                            from jsonb_array_elements_text(args -> 'key') with ordinality as x (k, n));
  v_after constant text := (select string_agg(format('%L::%s', v.after, public.wa_internal_type(v_table, x.k)), ', '
                                              order by x.n)
                              from jsonb_array_elements_text(args -> 'key') with ordinality as x (k, n)
                              join jsonb_array_elements_text(args -> 'after') with ordinality as v (after, n)
                                on v.n = x.n);
  v_values text;
  v_rows jsonb;
begin
  select string_agg(case public.wa_internal_type(v_table, c)
                      when 'timestamp with time zone' then format('public.wa_internal_text(t.%I)', c)
                      when 'boolean' then format('t.%I::integer', c)
                      when 'json' then format('t.%I::text', c)
                      else format('t.%I', c) end, ', ' order by n)
    into v_values from jsonb_array_elements_text(args -> 'columns') with ordinality as x (c, n);
  execute format('select coalesce(jsonb_agg(jsonb_build_array(%s) order by %s), ''[]'') from '
                 '(select * from public.%I t where %s order by %s limit %L::integer) t',
                 v_values, v_key, v_table,
                 case when v_after is null then 'true' else format('(%s) > (%s)', v_key, v_after) end, v_key,
                 args ->> 'limit') into v_rows;
  return jsonb_build_object('rows', v_rows);
end $$;

-- {low, newer, run, tables: [{table, key, columns, put, delete}], followers: {table: [[id, lead]]}} -> {applied}: nothing
-- is, if something was settled since. Nobody finishes anything meanwhile.
create function public.wa_replace(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_change jsonb;
  v_table text;
begin
  perform pg_catalog.pg_advisory_xact_lock(22344, 0);
  if (public.wa_rebuild_mark(args) ->> 'newer')::bigint <> (args ->> 'newer')::bigint then
    return jsonb_build_object('applied', exists (select from public.wa_runs r where r.id = args -> 'run' ->> 'id'));
  end if;
  if exists (select from public.wa_runs r where r.id = args -> 'run' ->> 'id') then
    return jsonb_build_object('applied', true);  -- the answer was lost
  end if;
  for v_change in select * from jsonb_array_elements(args -> 'tables') loop
    perform public.wa_internal_put(v_change);
  end loop;
  for v_table in select * from unnest('{wa_events,wa_actions}'::text[]) loop
    execute format('update public.%I t set lead_id = (f ->> 1)::bigint from jsonb_array_elements($1) f '
                   'where t.id = (f ->> 0)::bigint', v_table) using args -> 'followers' -> v_table;
  end loop;
  -- Leads are the first of the tables and go last.
  for v_change in select c from jsonb_array_elements(args -> 'tables') with ordinality as x (c, n) order by n desc loop
    perform public.wa_internal_delete(v_change);
  end loop;
  perform setval('public.wa_leads_id_seq', greatest(nextval('public.wa_leads_id_seq'),
                                                    (select max(l.id) from public.wa_leads l)));
  insert into public.wa_runs (id, command, scope, started_by, started_at, version, finished_at, counts)
  select r.id, r.command, r.scope, r.started_by, r.started_at, r.version, r.finished_at, r.counts
    from jsonb_populate_record(null::public.wa_runs, args -> 'run') r;
  return jsonb_build_object('applied', true);
end $$;

create function public.wa_internal_put(p_change jsonb) returns void language plpgsql set search_path = '' as $$
declare
  v_table constant text := p_change ->> 'table';
begin
  execute (
    select format('insert into public.%I (%s) select %s from jsonb_array_elements($1) r '
                  'on conflict (%s) do update set %s', v_table,
                  string_agg(quote_ident(c), ', ' order by n),
                  string_agg(format('(r ->> %s)::%s', n - 1, public.wa_internal_type(v_table, c)), ', ' order by n),
                  (select string_agg(quote_ident(k), ', ') from jsonb_array_elements_text(p_change -> 'key') k),
                  string_agg(format('%1$I = excluded.%1$I', c), ', ' order by n))
      from jsonb_array_elements_text(p_change -> 'columns') with ordinality as x (c, n))
    using p_change -> 'put';
end $$;

create function public.wa_internal_delete(p_change jsonb) returns void language plpgsql set search_path = '' as $$
declare
  v_table constant text := p_change ->> 'table';
begin
  execute (
    select format('delete from public.%I t using jsonb_array_elements($1) r where %s', v_table,
                  string_agg(format('t.%I = (r ->> %s)::%s', k, n - 1, public.wa_internal_type(v_table, k)), ' and '))
      from jsonb_array_elements_text(p_change -> 'key') with ordinality as x (k, n))
    using p_change -> 'delete';
end $$;

insert into public.wa_migrations (name) values ('0016_rebuild') on conflict do nothing;
