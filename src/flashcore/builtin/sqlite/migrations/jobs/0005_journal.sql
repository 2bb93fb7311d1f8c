-- What was promised and is not in the tables yet is in a file of its own from now on. `life` is of the file that belongs
-- to the tables, null while they have all; they have what is in it up to the batch `applied`. Rows of `log` are of the
-- version before: they are brought into the tables when the file is opened.
alter table standing add column life blob;
alter table standing add column applied integer not null default 0;
