-- One number in each state that validation tells apart, leased until 2100 unless its name says otherwise.
INSERT INTO numbering.tenants (tenant_id, plan, status, limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds)
VALUES ('tenant-a', 'premium', 'ACTIVE', 9, 9, 9, 9, 9), ('tenant-b', 'starter', 'SUSPENDED', 9, 9, 9, 9, 9);

INSERT INTO numbering.numbers (identifier, identifier_class, shown, version, state, tenant_id, reservation_id, lease_id, deadline, effective_until, ended_by)
VALUES
    ('FREE', 'ALPHA', 'Free', 1, 'AVAILABLE', NULL, NULL, NULL, NULL, NULL, NULL),
    ('RESERVED', 'ALPHA', 'Reserved', 1, 'RESERVED', 'tenant-a', gen_random_uuid(), NULL, '2100-01-01Z', NULL, NULL),
    ('RECALLED', 'ALPHA', 'Recalled', 3, 'QUARANTINE', NULL, NULL, gen_random_uuid(), '2100-01-01Z', NULL, 'RECALL'),
    ('EXPIRED', 'ALPHA', 'Expired', 3, 'QUARANTINE', NULL, NULL, gen_random_uuid(), '2100-01-01Z', NULL, 'EXPIRY'),
    ('RESTED', 'ALPHA', 'Rested', 3, 'QUARANTINE', NULL, NULL, gen_random_uuid(), '2020-01-01Z', NULL, 'RECALL'),
    ('OVERDUE', 'ALPHA', 'Overdue', 2, 'LEASED', 'tenant-a', NULL, gen_random_uuid(), '2020-01-01Z', '2020-01-01Z', NULL),
    ('PAUSED', 'ALPHA', 'Paused', 3, 'SUSPENDED', 'tenant-a', NULL, gen_random_uuid(), '2100-01-01Z', '2100-01-01Z', NULL),
    ('BARRED', 'ALPHA', 'Barred', 2, 'LEASED', 'tenant-b', NULL, gen_random_uuid(), '2100-01-01Z', '2100-01-01Z', NULL),
    ('+93701234567', 'MSISDN', '+93701234567', 2, 'LEASED', 'tenant-a', NULL, '01900000-0000-7000-8000-000000000001', '2100-01-15Z', '2100-01-01Z', NULL);
