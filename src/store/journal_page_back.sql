-- The page of $2 entries that ends at the place $1: its first place and its latest time, NULLs where there is none.
SELECT min(page.seq) AS first, max(page.at) AS latest
FROM (
    SELECT j.seq, j.at FROM numbering.journal j WHERE j.seq <= $1 ORDER BY j.seq DESC LIMIT $2
) AS page
