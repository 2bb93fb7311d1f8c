-- How many of an endpoint's queued jobs have a priority below 0: no worker is started for them.
alter table endpoint add column low integer not null default 0;
update endpoint set low = (
  select count(*) from state
  where state.e = endpoint.e and state.round = endpoint.round and state.status = 0 and state.priority < 0
);
