//! The rules of the numbering inventory, pure: no I/O, no clock, no randomness.
//!
//! Everything that decides who may use which identifier, when, is in this crate: [`decide`] is the one state table, and
//! [`lease::validate`] the one answer to "may this tenant send as this identifier, now?". What must stay true: the same
//! inputs give the same answer, so that a decision taken against a row of some version may be committed exactly when the
//! row still has that version.

pub mod capacity;
pub mod command;
pub mod event;
pub mod identifier;
pub mod ids;
pub mod lease;
pub mod number;
pub mod numbering_plan;
pub mod pattern;
pub mod policy;
pub mod price;
pub mod rejection;
pub mod tenant;
pub mod term;
pub mod transition;

mod draft;

pub use command::{Acting, Command, RecallReason};
pub use event::Event;
pub use identifier::{Identifier, IdentifierClass, InvalidIdentifier, RegisteredIdentifier};
pub use ids::{BlockId, ChargeId, LeaseId, OperatorId, ReservationId, SigningKeyId, TenantId, TicketId};
pub use lease::Lease;
pub use number::{Number, State, StateName};
pub use numbering_plan::{NumberingPlan, OperatorPrefixes};
pub use pattern::{InvalidPattern, Pattern};
pub use policy::Policy;
pub use price::Price;
pub use rejection::Rejection;
pub use tenant::{Counter, PerCounter, TenantStanding, TenantStatus};
pub use term::Term;
pub use transition::{Transition, decide};
