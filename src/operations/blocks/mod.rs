//! Numbers come into the inventory here: in signed blocks from operators (US-NUM-001), and short codes and alphanumeric
//! sender IDs by an admin's hand.

pub mod csv;
pub mod reject;
