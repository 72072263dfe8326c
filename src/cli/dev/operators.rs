//! The real Afghan plan: which operator owns which prefixes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Deserialize;

/// The plan, as published; see its column `source`.
const PLAN: &[u8] = include_bytes!("../../../data/numbering-plan-af.csv");

/// A Mobile Network Operator of the sample data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) prefixes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    prefix: String,
    operator_id: String,
    operator_name: String,
}

/// The operators, by id.
pub(super) fn afghan() -> anyhow::Result<Vec<Operator>> {
    let mut by_id: BTreeMap<String, Operator> = BTreeMap::new();
    for row in csv::Reader::from_reader(PLAN).deserialize() {
        let Row { prefix, operator_id: id, operator_name: name } = row.context("the numbering plan is damaged")?;
        let operator = by_id.entry(id.clone()).or_insert_with(|| Operator { id, name, prefixes: Vec::new() });
        operator.prefixes.push(prefix);
    }
    Ok(by_id.into_values().collect())
}

impl Operator {
    /// A block file of `count` numbers, spread evenly over the operator's prefixes, the first of each.
    ///
    /// A few of them ask for attention: every hundredth is of the gold tier, every two hundredth vanity-eligible.
    pub(super) fn block(&self, count: usize) -> String {
        let mut text = String::from("msisdn,vanity,priceTier\n");
        for index in 0..count {
            let prefix = &self.prefixes[index % self.prefixes.len()];
            // `+93` and nine digits (US-NUM-001).
            let width = "+93".len() + 9 - prefix.len();
            let within_prefix = index / self.prefixes.len();
            let vanity = index % 200 == 0;
            let tier = if index % 100 == 0 { "gold" } else { "standard" };
            // Writing to a string cannot fail.
            writeln!(text, "{prefix}{within_prefix:0width$},{vanity},{tier}").ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_plan_has_its_five_operators_with_prefixes_of_mixed_depth() {
        let operators = afghan().unwrap();
        let ids: Vec<&str> = operators.iter().map(|operator| operator.id.as_str()).collect();
        assert_eq!(ids, ["afghan_telecom", "atoma", "awcc", "etisalat", "roshan"]);
        assert_eq!(operators[0].prefixes, ["+93744", "+93747", "+93748", "+93749", "+9375"]);
        assert_eq!(operators[2].prefixes, ["+9370", "+9371"]);
    }

    #[test]
    fn a_block_holds_distinct_numbers_of_the_operators_own_prefixes() {
        for operator in afghan().unwrap() {
            let block = operator.block(1_000);
            let numbers: BTreeSet<&str> = block.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
            assert_eq!(numbers.len(), 1_000, "{}", operator.id);
            for number in numbers {
                assert_eq!(number.len(), "+93700000000".len(), "{number}");
                assert!(operator.prefixes.iter().any(|prefix| number.starts_with(prefix)), "{number}");
            }
        }
    }
}
