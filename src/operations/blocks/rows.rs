//! From the file to rows for the database: each is judged by itself, in a thread of its own, as fast as the database takes
//! them and no faster.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, stream};
use jiff::Timestamp;
use numbering_domain::{IdentifierClass, NumberingPlan, OperatorId, OperatorPrefixes, RegisteredIdentifier};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::csv::{BlockRow, BlockRows, CsvFault};
use super::reject::{Reject, RejectReason, parse_valid_from};
use crate::store::import::{DEFAULT_PRICE_TIER, NewNumber, StagedChunk, StagedRows};

/// How many bytes go to the database at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// How many chunks may wait for the database.
const CHUNKS_WAITING: usize = 4;
/// The size of a read of the spooled file.
const READ_BYTES: usize = 256 * 1024;
/// How many rejects are kept to be shown with the answer.
const REJECTS_SHOWN: usize = 100;

/// Why the rows of a file ended before their time.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    /// The file.
    #[error(transparent)]
    Csv(#[from] CsvFault),
    /// The thread that read it died.
    #[error("reading the file was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What the values of a row must be.
#[derive(Debug)]
pub(super) struct RowRules {
    plan: Arc<NumberingPlan>,
    operator: OperatorId,
    prefixes: OperatorPrefixes,
    longest_prefix: usize,
    /// The first digits of the last number, as many as the longest prefix has, and whether they are the operator's: numbers
    /// that share them share the answer.
    last: (String, bool),
    price_tiers: BTreeSet<String>,
}

/// A row whose values are as they must be.
#[derive(Debug, PartialEq, Eq)]
struct GoodRow<'a> {
    registered: RegisteredIdentifier,
    vanity_eligible: bool,
    price_tier: &'a str,
    valid_from: Option<Timestamp>,
}

impl RowRules {
    pub(super) fn new(
        plan: Arc<NumberingPlan>,
        operator: OperatorId,
        prefixes: Vec<(String, OperatorId)>,
        price_tiers: BTreeSet<String>,
    ) -> Self {
        let longest_prefix = prefixes.iter().map(|(prefix, _)| prefix.len()).max().unwrap_or(0);
        let prefixes = prefixes.into_iter().collect();
        Self { plan, operator, prefixes, longest_prefix, last: (String::new(), false), price_tiers }
    }

    /// The row's values, or the one at fault.
    fn judge<'a>(&mut self, row: &BlockRow<'a>) -> Result<GoodRow<'a>, (RejectReason, &'a str)> {
        let registered = match self.plan.parse(row.msisdn) {
            Ok(registered) if registered.identifier.class() == IdentifierClass::Msisdn => registered,
            Ok(_) | Err(_) => return Err((RejectReason::InvalidIdentifier, row.msisdn)),
        };
        if !self.is_ours(row.msisdn) {
            return Err((RejectReason::WrongOperator, row.msisdn));
        }
        let valid_from = match row.valid_from {
            None => None,
            Some(text) => Some(parse_valid_from(text).ok_or((RejectReason::InvalidValidFrom, text))?),
        };
        let vanity_eligible = match row.vanity {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err((RejectReason::InvalidVanity, other)),
        };
        let price_tier = row.price_tier.unwrap_or(DEFAULT_PRICE_TIER);
        if !self.price_tiers.contains(price_tier) {
            return Err((RejectReason::UnknownPriceTier, price_tier));
        }
        Ok(GoodRow { registered, vanity_eligible, price_tier, valid_from })
    }

    /// Whether the operator owns the longest prefix that matches.
    fn is_ours(&mut self, msisdn: &str) -> bool {
        let head = msisdn.get(..self.longest_prefix).unwrap_or(msisdn);
        if self.last.0 != head {
            let ours = self.prefixes.longest_match(msisdn).is_some_and(|(_, owner)| *owner == self.operator);
            self.last.0.clear();
            self.last.0.push_str(head);
            self.last.1 = ours;
        }
        self.last.1
    }
}

/// The first rejects of a file, filled while it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstRejects(Arc<Mutex<Vec<Reject>>>);

impl FirstRejects {
    fn push(&self, reject: Reject) {
        if let Ok(mut rejects) = self.0.lock()
            && rejects.len() < REJECTS_SHOWN
        {
            rejects.push(reject);
        }
    }

    /// Those there are so far.
    pub(super) fn so_far(&self) -> Vec<Reject> {
        self.0.lock().map(|rejects| rejects.clone()).unwrap_or_default()
    }
}

/// Reads, judges and encodes the file in a thread of its own. The stream ends without an error only where the file was
/// read to its end.
pub(super) fn staged(
    file: File,
    most_line_bytes: usize,
    rules: RowRules,
    first_rejects: FirstRejects,
) -> impl Stream<Item = Result<StagedChunk, RowsError>> + Send {
    let (chunks, received) = mpsc::channel(CHUNKS_WAITING);
    let reader = tokio::task::spawn_blocking(move || read(file, most_line_bytes, rules, &first_rejects, &chunks));
    stream::unfold(Some((received, reader)), next_chunk)
}

type Reading = (mpsc::Receiver<StagedChunk>, JoinHandle<Result<(), CsvFault>>);

async fn next_chunk(reading: Option<Reading>) -> Option<(Result<StagedChunk, RowsError>, Option<Reading>)> {
    let (mut received, reader) = reading?;
    if let Some(chunk) = received.recv().await {
        return Some((Ok(chunk), Some((received, reader))));
    }
    match reader.await {
        Ok(Ok(())) => None,
        Ok(Err(fault)) => Some((Err(fault.into()), None)),
        Err(interrupted) => Some((Err(interrupted.into()), None)),
    }
}

fn read(
    file: File,
    most_line_bytes: usize,
    mut rules: RowRules,
    first_rejects: &FirstRejects,
    chunks: &mpsc::Sender<StagedChunk>,
) -> Result<(), CsvFault> {
    let mut rows = BlockRows::open(BufReader::with_capacity(READ_BYTES, file), most_line_bytes)?;
    let mut staged = StagedRows::with_capacity(CHUNK_BYTES + 2 * most_line_bytes);
    while let Some(row) = rows.next_row()? {
        match rules.judge(&row) {
            Ok(GoodRow { registered, vanity_eligible, price_tier, valid_from }) => {
                staged
                    .number(row.line, &NewNumber { registered: &registered, vanity_eligible, price_tier, valid_from });
            }
            Err((reason, value)) => {
                let reject = Reject::new(row.line, value, reason);
                staged.reject(reject.line, &reject.value, reason.as_str());
                first_rejects.push(reject);
            }
        }
        if staged.len() >= CHUNK_BYTES && chunks.blocking_send(staged.take()).is_err() {
            // Nobody wants them any more: the import has failed elsewhere.
            return Ok(());
        }
    }
    if !staged.is_empty() {
        // As above.
        let _ = chunks.blocking_send(staged.take());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> RowRules {
        let operator = |id: &str| OperatorId::parse(id).unwrap();
        let plan = NumberingPlan { country_code: "93".into(), national_digits: 9, never_leasable: BTreeSet::new() };
        let prefixes = vec![
            ("+9374".into(), operator("etisalat")),
            ("+93744".into(), operator("afghan_telecom")),
            ("+9370".into(), operator("awcc")),
        ];
        let tiers = ["standard", "gold"].map(String::from).into();
        RowRules::new(Arc::new(plan), operator("afghan_telecom"), prefixes, tiers)
    }

    fn row(msisdn: &str) -> BlockRow<'_> {
        BlockRow { line: 2, msisdn, valid_from: None, vanity: None, price_tier: None }
    }

    #[test]
    fn absent_values_have_their_defaults() {
        let mut rules = rules();
        let plain = rules.judge(&row("+93744000001")).unwrap();
        assert_eq!((plain.vanity_eligible, plain.price_tier, plain.valid_from), (false, "standard", None));
        let full = BlockRow {
            valid_from: Some("2030-01-01"),
            vanity: Some("true"),
            price_tier: Some("gold"),
            ..row("+93744000001")
        };
        let full = rules.judge(&full).unwrap();
        let midnight = "2030-01-01T00:00:00Z".parse().unwrap();
        assert_eq!((full.vanity_eligible, full.price_tier, full.valid_from), (true, "gold", Some(midnight)));
    }

    #[test]
    fn the_longest_prefix_decides_whatever_came_before() {
        let mut rules = rules();
        for (msisdn, ours) in [
            ("+93744000001", true),
            ("+93744000002", true),
            ("+93745000001", false),
            ("+93744000003", true),
            ("+93700000001", false),
            ("+93760000001", false),
        ] {
            let judged = rules.judge(&row(msisdn));
            assert_eq!(judged.is_ok(), ours, "{msisdn}");
            assert!(ours || judged == Err((RejectReason::WrongOperator, msisdn)));
        }
    }

    #[test]
    fn each_bad_value_has_its_reason() {
        let good = "+93744000001";
        for (bad, reason, value) in [
            (row("0744000001"), RejectReason::InvalidIdentifier, "0744000001"),
            (row("93744000001"), RejectReason::InvalidIdentifier, "93744000001"),
            (row("4455"), RejectReason::InvalidIdentifier, "4455"),
            (row("MYBANK"), RejectReason::InvalidIdentifier, "MYBANK"),
            (row(""), RejectReason::InvalidIdentifier, ""),
            (row("+93744۰۰۰۰۰۱"), RejectReason::InvalidIdentifier, "+93744۰۰۰۰۰۱"),
            (BlockRow { valid_from: Some("soon"), ..row(good) }, RejectReason::InvalidValidFrom, "soon"),
            (BlockRow { vanity: Some("TRUE"), ..row(good) }, RejectReason::InvalidVanity, "TRUE"),
            (BlockRow { vanity: Some("1"), ..row(good) }, RejectReason::InvalidVanity, "1"),
            (BlockRow { price_tier: Some("bronze"), ..row(good) }, RejectReason::UnknownPriceTier, "bronze"),
        ] {
            assert_eq!(rules().judge(&bad), Err((reason, value)));
        }
    }
}
