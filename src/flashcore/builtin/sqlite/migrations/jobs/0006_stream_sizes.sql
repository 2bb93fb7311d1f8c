-- How many bytes were in a job's stream up to a chunk and with it: the difference of two of them is what lies between.
-- Chunks of before count for nothing.
alter table chunk add column upto integer not null default 0;
