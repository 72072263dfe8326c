//! How a snapshot is written down: a few bytes, with a format number first.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | format: [`FORMAT`] |
//! | 8 | version of the number, big-endian |
//! | 8 | the moment the facts are of, microseconds since 1970, big-endian |
//! | 1 | kind of facts |
//! | 8 | resting: until when |
//! | 16 + 8 + 8 + rest | leased: lease id, effective until, ends at, tenant |
//!
//! `put_snapshot.lua` reads the first three. Another layout is another format number: replicas of two releases then pass
//! over each other's entries.

use jiff::Timestamp;
use numbering_domain::lease::{Facts, Snapshot};
use numbering_domain::number::EndedBy;
use numbering_domain::{LeaseId, TenantId};
use uuid::Uuid;

use crate::cache::Kept;

const FORMAT: u8 = 1;

const UNLEASED: u8 = 0;
const RECALLED: u8 = 1;
const EXPIRED: u8 = 2;
const LEASED: u8 = 3;
const SUSPENDED: u8 = 4;

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("its format is unknown")]
    Format,
    #[error("its facts are of an unknown kind")]
    Kind,
    #[error("it has a wrong length")]
    Length,
    #[error("it has a moment beyond all calendars")]
    Moment,
    #[error("its version is negative")]
    Version,
    #[error("its tenant is no tenant's name")]
    Tenant,
}

impl Kept {
    /// Written down.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(72);
        bytes.push(FORMAT);
        bytes.extend(self.snapshot.version.to_be_bytes());
        bytes.extend(self.as_of.as_microsecond().to_be_bytes());
        match &self.snapshot.facts {
            Facts::Unleased => bytes.push(UNLEASED),
            Facts::Resting { ended_by, until } => {
                bytes.push(match ended_by {
                    EndedBy::Recall => RECALLED,
                    EndedBy::Expiry => EXPIRED,
                });
                bytes.extend(until.as_microsecond().to_be_bytes());
            }
            Facts::Leased { tenant, lease_id, effective_until, ends_at, suspended } => {
                bytes.push(if *suspended { SUSPENDED } else { LEASED });
                bytes.extend(lease_id.0.as_bytes());
                bytes.extend(effective_until.as_microsecond().to_be_bytes());
                bytes.extend(ends_at.as_microsecond().to_be_bytes());
                bytes.extend(tenant.as_str().as_bytes());
            }
        }
        bytes
    }

    /// Read.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut rest = bytes;
        if take::<1>(&mut rest)? != [FORMAT] {
            return Err(Unreadable::Format);
        }
        let version = i64::from_be_bytes(take(&mut rest)?);
        if version < 0 {
            return Err(Unreadable::Version);
        }
        let as_of = moment(&mut rest)?;
        let facts = match take::<1>(&mut rest)? {
            [UNLEASED] => Facts::Unleased,
            [RECALLED] => Facts::Resting { ended_by: EndedBy::Recall, until: moment(&mut rest)? },
            [EXPIRED] => Facts::Resting { ended_by: EndedBy::Expiry, until: moment(&mut rest)? },
            [kind @ (LEASED | SUSPENDED)] => Facts::Leased {
                lease_id: LeaseId(Uuid::from_bytes(take(&mut rest)?)),
                effective_until: moment(&mut rest)?,
                ends_at: moment(&mut rest)?,
                tenant: tenant(std::mem::take(&mut rest))?,
                suspended: kind == SUSPENDED,
            },
            _ => return Err(Unreadable::Kind),
        };
        if !rest.is_empty() {
            return Err(Unreadable::Length);
        }
        Ok(Self { snapshot: Snapshot { version, facts }, as_of })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (taken, left) = rest.split_first_chunk().ok_or(Unreadable::Length)?;
    *rest = left;
    Ok(*taken)
}

fn moment(rest: &mut &[u8]) -> Result<Timestamp, Unreadable> {
    Timestamp::from_microsecond(i64::from_be_bytes(take(rest)?)).map_err(|_| Unreadable::Moment)
}

fn tenant(bytes: &[u8]) -> Result<TenantId, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Tenant)?;
    TenantId::parse(text).map_err(|_| Unreadable::Tenant)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_moment() -> impl Strategy<Value = Timestamp> {
        (0..4_000_000_000_000_000_i64).prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let ended_by = prop_oneof![Just(EndedBy::Recall), Just(EndedBy::Expiry)];
        let resting = (ended_by, any_moment()).prop_map(|(ended_by, until)| Facts::Resting { ended_by, until });
        let leased = ("[A-Za-z0-9_.:-]{1,64}", any::<u128>(), any_moment(), any_moment(), any::<bool>()).prop_map(
            |(tenant, lease_id, effective_until, ends_at, suspended)| Facts::Leased {
                tenant: TenantId::parse(&tenant).unwrap(),
                lease_id: LeaseId(Uuid::from_u128(lease_id)),
                effective_until,
                ends_at,
                suspended,
            },
        );
        prop_oneof![Just(Facts::Unleased), resting, leased]
    }

    fn any_entry() -> impl Strategy<Value = Kept> {
        (0..=i64::MAX, any_facts(), any_moment())
            .prop_map(|(version, facts, as_of)| Kept { snapshot: Snapshot { version, facts }, as_of })
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(entry in any_entry()) {
            prop_assert_eq!(Kept::decode(&entry.encoded()), Ok(entry));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
            let _ = Kept::decode(&bytes);
        }

        #[test]
        fn what_is_cut_short_or_goes_on_is_not_read(entry in any_entry(), cut in 0_usize..18) {
            let bytes = entry.encoded();
            prop_assert!(Kept::decode(&bytes[..cut.min(bytes.len() - 1)]).is_err());
            let too_long = [bytes.as_slice(), b"\n"].concat();
            prop_assert!(Kept::decode(&too_long).is_err());
        }
    }

    #[test]
    fn unknown_formats_and_kinds_are_not_read() {
        let entry = Kept { snapshot: Snapshot { version: 3, facts: Facts::Unleased }, as_of: Timestamp::UNIX_EPOCH };
        let good = entry.encoded();
        for (at, byte, fault) in [(0, 2, Unreadable::Format), (17, 9, Unreadable::Kind), (1, 0x80, Unreadable::Version)]
        {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert_eq!(Kept::decode(&bytes), Err(fault));
        }
    }
}
