-- How many charges, known or possible, finance has to look at.
SELECT count(*) FROM numbering.charges_without_renewal
