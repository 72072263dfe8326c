-- The last place of the journal; no row while it is empty.
SELECT j.seq FROM numbering.journal j ORDER BY j.seq DESC LIMIT 1
