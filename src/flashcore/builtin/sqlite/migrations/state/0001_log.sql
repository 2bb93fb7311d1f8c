-- Every commit appends what it did: `value` is null for a delete. Rows are in the order of revisions.
create table log (
  n integer primary key,
  key text not null,
  revision integer not null,
  value blob
);
create unique index log_by_key on log (key, revision);
create index log_by_revision on log (revision);

-- One row: the latest time by the store's clock, and the oldest revision that can still be read.
create table standing (
  id integer primary key check (id = 1),
  clock real not null,
  floor integer not null
);
insert into standing values (1, 0, 0);
