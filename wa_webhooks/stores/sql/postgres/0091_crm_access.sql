-- What the service needs of the CRM tables: leads and holders of numbers go when they turn out to be nobody.

do $$
begin
  if not exists (select from pg_roles where rolname = 'service_role') then
    return;
  end if;
  grant insert, update on public.wa_leads, public.wa_lead_identities, public.wa_lead_sightings,
    public.wa_number_changes, public.wa_number_holders, public.wa_lead_events, public.wa_messages,
    public.wa_message_statuses, public.wa_calls, public.wa_account_events to service_role;
  grant delete on public.wa_leads, public.wa_number_holders to service_role;
  -- A rebuild takes out of these what the log does not tell.
  grant delete on public.wa_lead_identities, public.wa_lead_sightings, public.wa_number_changes, public.wa_lead_events,
    public.wa_messages, public.wa_message_statuses, public.wa_calls, public.wa_account_events to service_role;
  -- Their ids are drawn before the rows are written.
  grant usage on sequence public.wa_events_id_seq, public.wa_leads_id_seq to service_role;
  grant update on sequence public.wa_leads_id_seq to service_role;
end $$;

insert into public.wa_migrations (name) values ('0091_crm_access') on conflict do nothing;
