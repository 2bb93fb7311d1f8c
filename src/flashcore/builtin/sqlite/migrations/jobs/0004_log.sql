-- What was promised and is not in the tables yet, in the order of commits: what a transaction says here comes before
-- what the tables say. `data` is as `sqlite/jobs/records.py` writes it.
create table log (
  seq integer primary key,
  data blob not null
);
