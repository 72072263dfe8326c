-- Where in the journal a moment ($1) lies, to a thousand places: what is before `later` and not before `earlier` is to be looked at, for
-- all that is not before `later` is of that moment or after it, and all up to `earlier` is of before it. One row.
--
-- By halving, a look into the index each: the order of `seq` is that of `at` but for a little, which the caller allows for.
WITH RECURSIVE halved AS (
    SELECT 0::bigint AS earlier,
           coalesce((SELECT j.seq FROM numbering.journal j ORDER BY j.seq DESC LIMIT 1), 0) + 1 AS later
    UNION ALL
    SELECT CASE WHEN m.at < $1::timestamptz THEN m.seq ELSE h.earlier END,
           CASE WHEN m.at < $1 THEN h.later ELSE (h.earlier + h.later) / 2 END
    FROM halved h
    CROSS JOIN LATERAL (
        SELECT j.seq, j.at FROM numbering.journal j WHERE j.seq >= (h.earlier + h.later) / 2 ORDER BY j.seq LIMIT 1) m
    WHERE h.later - h.earlier > 1000
)
SELECT h.earlier, h.later FROM halved h ORDER BY h.later - h.earlier LIMIT 1
