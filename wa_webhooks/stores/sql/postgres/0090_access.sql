-- Who may do what. Whoever calls a function needs what the function does: the roles that a browser has get nothing, the
-- service gets what the verbs need, and no DELETE or TRUNCATE on the log. A database that is not Supabase's has none of
-- these roles; there the owner of the tables calls.

do $$
declare
  name text;
begin
  for name in select format('%I.%I', n.nspname, c.relname)
                from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'public' and c.relkind in ('r', 'p') and c.relname like 'wa\_%'
  loop
    execute format('alter table %s enable row level security', name);
  end loop;

  for name in select case when c.relkind = 'S' then 'sequence ' else '' end || format('%I.%I', n.nspname, c.relname)
                from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'S') and c.relname like 'wa\_%'
  loop
    execute format('revoke all on %s from public', name);
    if exists (select from pg_roles where rolname = 'anon') then
      execute format('revoke all on %s from anon, authenticated, service_role', name);
    end if;
  end loop;

  for name in select p.oid::regprocedure::text
                from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = 'public' and p.proname like 'wa\_%'
  loop
    execute format('revoke all on function %s from public', name);
    if exists (select from pg_roles where rolname = 'anon') then
      execute format('revoke all on function %s from anon, authenticated, service_role', name);
      execute format('grant execute on function %s to service_role', name);
    end if;
  end loop;

  if exists (select from pg_roles where rolname = 'service_role') then
    grant usage on schema public to service_role;
    for name in select case when c.relkind = 'S' then 'sequence ' else '' end || format('%I.%I', n.nspname, c.relname)
                  from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'S') and c.relname like 'wa\_%'
                   and c.relname <> 'wa_migrations'
    loop
      execute format('grant select on %s to service_role', name);
    end loop;
  end if;
end $$;

do $$
begin
  if not exists (select from pg_roles where rolname = 'service_role') then
    return;
  end if;
  grant select on public.wa_migrations to service_role;
  grant insert on public.wa_deliveries, public.wa_attempts to service_role;
  grant insert, update on public.wa_delivery_work, public.wa_events, public.wa_runs, public.wa_actions,
    public.wa_drift to service_role;
  grant insert, update, delete on public.wa_rejections, public.wa_rejection_counts, public.wa_claims,
    public.wa_workers, public.wa_answers to service_role;
  grant update on public.wa_health to service_role;
end $$;

insert into public.wa_migrations (name) values ('0090_access') on conflict do nothing;
