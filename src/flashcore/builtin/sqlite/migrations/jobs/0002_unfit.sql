-- What a job was found not to fit: revisions and what these take, as JSON. Such a job is queued under a `pin` that says
-- whom it is closed to, and that changes.
alter table state add column unfit text;
