-- What a file brings, before it is in the inventory: a number, or a row that was turned away, which has a reason.
-- What most rows have alike is NULL: the class MSISDN, the spelling of the identifier, not eligible as vanity, the tier standard.
CREATE TEMPORARY TABLE import_rows (
    line             bigint NOT NULL,
    identifier       text COLLATE "C",
    identifier_class text,
    shown            text,
    vanity_eligible  boolean,
    price_tier       text,
    valid_from       timestamptz,
    value            text,
    reason           text
) ON COMMIT DROP
