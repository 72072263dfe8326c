-- In how many seconds the next lease ends; NULL where there is none.
SELECT extract(epoch FROM min(c.deadline) - clock_timestamp())::float8
FROM numbering.claims c WHERE c.state IN ('LEASED', 'SUSPENDED')
