-- Reads the numbers and their primary key into shared buffers.
CREATE EXTENSION IF NOT EXISTS pg_prewarm;
SELECT pg_prewarm('numbering.numbers'), pg_prewarm('numbering.numbers_pkey');
