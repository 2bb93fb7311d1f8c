-- What a job was found not to fit: revisions and what these take, as JSON. Such a job is queued under a `pin` that says
-- whom it is closed to, and that changes.
alter table state add column unfit text;

-- How many chunks the present attempt has put into its stream, and which of them each one is.
alter table state add column streamed integer not null default 0;
alter table chunk add column number integer not null default 0;
update chunk set number = (select count(*) from chunk earlier where earlier.n = chunk.n and earlier.c < chunk.c);
update state set streamed = (select count(*) from chunk where chunk.n = state.n)
where n in (select n from chunk);
