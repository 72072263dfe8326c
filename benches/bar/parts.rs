//! What is measured, one file a part.

mod browse;
mod cascade;
mod commands;
mod expiry;
mod growth;
mod import;
mod outbox;
mod overload;
mod validate;
mod validate_many;
mod validate_miss;
mod validate_open;

use std::pin::Pin;

use crate::figures::Figure;
use crate::stand::Stand;

type Run = for<'a> fn(&'a mut Stand) -> Pin<Box<dyn Future<Output = anyhow::Result<Vec<Figure>>> + 'a>>;

/// A part of the measurements.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: Run,
}

/// All of them, in the order that they are run in.
pub(crate) const PARTS: [Part; 12] = [
    Part {
        name: "validate",
        what: "ValidateLease in cache, beside servers that answer a constant",
        run: |stand| Box::pin(validate::run(stand)),
    },
    Part {
        name: "validate-many",
        what: "ValidateLeases, 1,000 pairs a call in cache, beside a server that answers 1,000 constants",
        run: |stand| Box::pin(validate_many::run(stand)),
    },
    Part {
        name: "validate-open",
        what: "ValidateLease at a fixed rate: a hit, a miss, Redis frozen, Redis dead",
        run: |stand| Box::pin(validate_open::run(stand)),
    },
    Part {
        name: "validate-miss",
        what: "ValidateLease with PostgreSQL alone, beside pgbench",
        run: |stand| Box::pin(validate_miss::run(stand)),
    },
    Part {
        name: "overload",
        what: "validations at four times the load that can be carried",
        run: |stand| Box::pin(overload::run(stand)),
    },
    Part {
        name: "commands",
        what: "reserve, hold, lease, recall over REST, beside pgbench",
        run: |stand| Box::pin(commands::run(stand)),
    },
    Part {
        name: "outbox",
        what: "from the commit to JetStream, and a backlog",
        run: |stand| Box::pin(outbox::run(stand)),
    },
    Part {
        name: "import",
        what: "a signed file of 1,000,000 rows over REST, beside psql",
        run: |stand| Box::pin(import::run(stand)),
    },
    Part {
        name: "expiry",
        what: "20,000 reservations that run out in the same second",
        run: |stand| Box::pin(expiry::run(stand)),
    },
    Part {
        name: "cascade",
        what: "suspension of a tenant with 100,000 leases",
        run: |stand| Box::pin(cascade::run(stand)),
    },
    Part {
        name: "browse",
        what: "pages of 10 million numbers, beside pages of a hundredth",
        run: |stand| Box::pin(browse::run(stand)),
    },
    Part {
        name: "growth",
        what: "transitions and validations on 10 million numbers, beside a tenth",
        run: |stand| Box::pin(growth::run(stand)),
    },
];
