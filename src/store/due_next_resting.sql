-- In how many seconds the next rest is over; NULL where nothing rests.
SELECT extract(epoch FROM min(n.deadline) - clock_timestamp())::float8
FROM numbering.numbers n WHERE n.state = 'QUARANTINE'
