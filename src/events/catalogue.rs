//! The types of the events that the world is told. Entries of the journal with other types are for the audit trail alone.

/// Every type that is published, as `docs/events/asyncapi.yaml` describes it.
pub const PUBLISHED_TYPES: [&str; 23] = [
    "numbering.block.imported",
    "numbering.block.import_rejected",
    "numbering.reservation.held",
    "numbering.reservation.released",
    "numbering.lease.created",
    "numbering.lease.renewed",
    "numbering.lease.renewal_over_quota",
    "numbering.lease.renewal_failed",
    "numbering.lease.grace_reminder",
    "numbering.lease.updated",
    "numbering.lease.suspended",
    "numbering.lease.reinstated",
    "numbering.lease.recalled",
    "numbering.lease.expired",
    "numbering.identifier.quarantined",
    "numbering.identifier.released",
    "numbering.quarantine.overridden",
    "numbering.quarantine.override_report",
    "numbering.quota.changed",
    "numbering.pool.exhausted",
    "numbering.pool.recovered",
    "numbering.alert.raised",
    "numbering.alert.resolved",
];
