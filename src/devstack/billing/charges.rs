//! What the development billing service has charged: a file of JSON lines that only grows, `charges.jsonl`.
//!
//! What must stay true: a charge that was answered is on the disk; a line that was cut short by a crash or a full disk was
//! never answered, and makes room for the next one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::devstack::{Advised, files};

/// One renewal, paid.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Charge {
    /// Its own id.
    #[serde(rename = "chargeId")]
    pub(super) id: Uuid,
    /// The lease that is renewed. It is charged once.
    pub(super) lease_id: Uuid,
    /// Who pays.
    pub(super) tenant_id: String,
    /// The identifier leased, as registered.
    pub(super) identifier: String,
    /// For how long it is renewed.
    pub(super) term: String,
    /// Decimal amount, as it was asked for.
    pub(super) amount: String,
    /// ISO 4217 code.
    pub(super) currency: String,
    /// When.
    pub(super) at: Timestamp,
}

impl Charge {
    /// Whether both were asked for in the same words.
    fn is_for_the_same(&self, other: &Self) -> bool {
        let asked = |charge: &Self| {
            let Self { lease_id, tenant_id, identifier, term, amount, currency, .. } = charge.clone();
            (lease_id, tenant_id, identifier, term, amount, currency)
        };
        asked(self) == asked(other)
    }
}

/// What has become of a request to charge a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charged {
    /// It is paid, now or before, by the charge of this id.
    Paid(Uuid),
    /// The lease was charged before, on another request.
    Differently,
}

/// All charges, in the order that they were made.
#[derive(Debug)]
pub(super) struct Charges {
    file: File,
    /// Where the next line goes, in bytes.
    end: u64,
    made: Vec<Charge>,
    by_lease: HashMap<Uuid, usize>,
}

impl Charges {
    /// The charges kept in `directory`, which is made if need be.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        files::make_directory(directory, 0o711)?;
        let path = directory.join("charges.jsonl");
        let mut bytes = Vec::new();
        let mut open = || {
            let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            // That the file exists must last as well.
            File::open(directory)?.sync_all()?;
            file.read_to_end(&mut bytes)?;
            io::Result::Ok(file)
        };
        let file = open().with_context(|| format!("cannot read {}", path.display()))?;
        // Not text yet: the cut may go through a character.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |last| &bytes[..=last]);
        let mut charges = Self { file, end: u64::try_from(whole.len())?, made: Vec::new(), by_lease: HashMap::new() };
        for (line, number) in whole.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let charge = serde_json::from_slice(line).map_err(|error| {
                let place = path.display();
                Advised::new(
                    format!("line {number} of {place} is no charge: {error}"),
                    "mend that line, or delete the file to forget every charge",
                )
            })?;
            charges.remember(charge);
        }
        Ok(charges)
    }

    /// What has become of the lease that `wanted` is for, if it was charged.
    pub(super) fn find(&self, wanted: &Charge) -> Option<Charged> {
        let made = &self.made[*self.by_lease.get(&wanted.lease_id)?];
        Some(if made.is_for_the_same(wanted) { Charged::Paid(made.id) } else { Charged::Differently })
    }

    /// Makes the charge unless the lease was charged before. When this returns, it is on the disk.
    pub(super) fn charge(&mut self, wanted: Charge) -> io::Result<Charged> {
        if let Some(charged) = self.find(&wanted) {
            return Ok(charged);
        }
        let mut line = serde_json::to_vec(&wanted)?;
        line.push(b'\n');
        // Whatever an attempt that failed has left behind the last charge goes first.
        self.file.set_len(self.end)?;
        self.file.write_all_at(&line, self.end)?;
        self.file.sync_data()?;
        self.end += line.len() as u64;
        let id = wanted.id;
        self.remember(wanted);
        Ok(Charged::Paid(id))
    }

    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Charge> {
        self.made.iter()
    }

    fn remember(&mut self, charge: Charge) {
        self.by_lease.insert(charge.lease_id, self.made.len());
        self.made.push(charge);
    }
}
