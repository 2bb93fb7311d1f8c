"""What the SQLite job store is made of.

Jobs that matter now are in memory, on the event loop: those being worked on, the heads of each queue, those with
changes that are not on disk yet, and the ones that finished last. All others are on disk alone, so a million queued
jobs cost no memory. Decisions are made in memory; what they changed is one record of a journal, for all calls of a
moment together, and nobody gets an answer before that is on disk. The tables get it a little later, much of it at once.
When a batch fails, what was decided since is refused and the memory is filled from the disk again.

entry.py       a job in memory
lanes.py       one queue: the heads of its lanes, and the choice among them
queues.py      all queues
known.py       which ids and keys the tables cannot have
resting.py     which finished jobs stay in memory for a while
deadlines.py   when time does something to running jobs
book.py        everything in memory
batch.py       what the calls of a moment changed
desk.py        group commit, and who hears when it fails
recovering.py  memory after that
changes.py     a batch as rows
records.py     rows as bytes, for the journal
journal.py     the file of what is promised
files.py       what the store is written to
backlog.py     what is in the journal and not in the tables yet
applier.py     when the tables get it
submission.py  which jobs of a call are new
filling.py     bringing the next jobs of a lane from disk to hand
payloads.py    large payloads: to files and back
sweeping.py    what time does
rows.py        jobs as rows
replaying.py   what another process has promised   }
applying.py    promising a batch, applying it      }
flush.py       writing rows                        }
loading.py     reading jobs                        } in the database's thread
clearing.py    removing what nobody can see        }
"""
