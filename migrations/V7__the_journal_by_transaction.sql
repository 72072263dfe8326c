-- The journal as its followers read it: what the transactions wrote that a snapshot did not see yet. Identity numbers ascend
-- out of commit order, so no follower may rest on them; a transaction that a snapshot did not see is either one that it lists
-- as running, or one that began after it.
CREATE INDEX journal_by_xid ON numbering.journal (xid, seq);
