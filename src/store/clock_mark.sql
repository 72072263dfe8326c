-- Moves the high-water mark of the clock to $1; it never goes back.
INSERT INTO numbering.clock AS c (high_water) VALUES ($1)
ON CONFLICT (only_one) DO UPDATE SET high_water = excluded.high_water WHERE c.high_water < excluded.high_water
