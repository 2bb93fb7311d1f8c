-- Endpoints, how many of their jobs are in which state, and the round of their queue: a purge begins a new round,
-- which takes all queued jobs out at once; their rows are removed bit by bit. `name` is null for a forgotten endpoint.
create table endpoint (
  e integer primary key,
  name text unique,
  round integer not null,
  in_queue integer not null,
  in_progress integer not null,
  completed integer not null,
  failed integer not null,
  cancelled integer not null,
  timed_out integer not null,
  retried integer not null,
  touched real not null
);

-- What was submitted; never changes. `n` is the order of submission. A payload is in `input`, or in the file `blob`.
create table job (
  n integer primary key,
  id text not null unique,
  e integer not null,
  key text,
  submitted_at real not null,
  ttl real not null,
  execution_timeout real not null,
  retention real not null,
  webhook text,
  max_attempts integer not null,
  context text,
  media text not null,
  input blob,
  blob text
);
create unique index job_by_key on job (e, key) where key is not null;

-- What changes. `due` is the end of the ttl, and of the retention once the job is finished.
create table state (
  n integer primary key,
  e integer not null,
  pin text not null,
  priority integer not null,
  lane integer not null,
  round integer not null,
  status integer not null,
  due real not null,
  attempt integer not null,
  charged integer not null,
  worker text,
  revision text,
  leased_until real,
  started_at real,
  finished_at real,
  error text,
  refused text,
  version integer not null
);
create index state_queued on state (e, round, pin, priority, lane, n) where status = 0;
create index state_running on state (n) where status = 1;
create index state_due on state (due);

-- k = 2 n is a job's output, k = 2 n + 1 its progress.
create table outcome (
  k integer primary key,
  media text not null,
  data blob,
  blob text
);

-- Chunks of streams that nobody has read yet, in order.
create table chunk (
  c integer primary key,
  n integer not null,
  media text not null,
  data blob,
  blob text
);
create index chunk_by_job on chunk (n);

-- Which jobs need which files.
create table blob (
  digest text not null,
  n integer not null,
  primary key (digest, n)
) without rowid;
create index blob_by_job on blob (n);

create table standing (
  id integer primary key check (id = 1),
  clock real not null
);
insert into standing values (1, 0);
