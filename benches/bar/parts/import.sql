INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id, block_id)
SELECT msisdn, 'MSISDN', msisdn, 'awcc', '01a205cd-c65a-70a5-9ba9-b47f354503dc' FROM staging
