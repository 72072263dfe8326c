//! What was found: a figure, what it is held against, and whether it reaches that.

use std::fmt;

use serde_json::{Value, json};

/// What a figure counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many a second.
    PerSecond,
    /// Seconds of CPU or of waiting.
    Seconds,
    /// Bytes of memory.
    Bytes,
    /// One figure over another.
    Times,
    /// A part of a whole.
    Share,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per second",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Times => "times",
            Self::Share => "share",
        }
    }
}

/// A number and its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantity {
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

impl Quantity {
    pub(crate) const fn per_second(value: f64) -> Self {
        Self { value, unit: Unit::PerSecond }
    }

    pub(crate) const fn seconds(value: f64) -> Self {
        Self { value, unit: Unit::Seconds }
    }

    pub(crate) const fn bytes(value: f64) -> Self {
        Self { value, unit: Unit::Bytes }
    }

    pub(crate) const fn times(value: f64) -> Self {
        Self { value, unit: Unit::Times }
    }

    pub(crate) const fn share(value: f64) -> Self {
        Self { value, unit: Unit::Share }
    }

    fn json(self) -> Value {
        json!({ "value": self.value, "unit": self.unit.name() })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.unit {
            Unit::PerSecond => write!(f, "{value:.0}/s"),
            Unit::Seconds if value < 0.001 => write!(f, "{:.1} µs", value * 1e6),
            Unit::Seconds if value < 1.0 => write!(f, "{:.1} ms", value * 1e3),
            Unit::Seconds => write!(f, "{value:.2} s"),
            Unit::Bytes => write!(f, "{:.0} MiB", value / f64::from(1 << 20)),
            Unit::Times => write!(f, "{value:.2} ×"),
            Unit::Share => write!(f, "{:.1} %", value * 100.0),
        }
    }
}

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reach {
    AtLeast(Quantity),
    AtMost(Quantity),
}

impl Reach {
    fn is_met_by(self, compared: Quantity) -> bool {
        match self {
            Self::AtLeast(least) => compared.value >= least.value,
            Self::AtMost(most) => compared.value <= most.value,
        }
    }

    fn json(self) -> Value {
        match self {
            Self::AtLeast(least) => json!({ "atLeast": least.json() }),
            Self::AtMost(most) => json!({ "atMost": most.json() }),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    what: String,
    measured: Quantity,
    /// The same of the baseline, and what that is.
    baseline: Option<(Quantity, String)>,
    /// What is held against the reach: the figure itself, or what it is of the baseline.
    compared: Quantity,
    reach: Option<Reach>,
}

impl Figure {
    /// A figure that is told for its own sake.
    pub(crate) fn told(what: impl Into<String>, measured: Quantity) -> Self {
        Self { what: what.into(), measured, baseline: None, compared: measured, reach: None }
    }

    /// A figure that has a bound by itself.
    pub(crate) fn at_most(what: impl Into<String>, measured: Quantity, most: Quantity) -> Self {
        Self { reach: Some(Reach::AtMost(most)), ..Self::told(what, measured) }
    }

    /// A figure that must be as much by itself.
    pub(crate) fn at_least(what: impl Into<String>, measured: Quantity, least: Quantity) -> Self {
        Self { reach: Some(Reach::AtLeast(least)), ..Self::told(what, measured) }
    }

    /// The same figure beside a baseline's: from here on the ratio is what counts.
    pub(crate) fn beside(self, baseline: Quantity, of: impl Into<String>) -> Self {
        let compared = Quantity::times(self.measured.value / baseline.value);
        Self { baseline: Some((baseline, of.into())), compared, ..self }
    }

    /// The ratio must be so much.
    pub(crate) fn times_at_least(self, least: f64) -> Self {
        Self { reach: Some(Reach::AtLeast(Quantity::times(least))), ..self }
    }

    /// The ratio may be so much.
    pub(crate) fn times_at_most(self, most: f64) -> Self {
        Self { reach: Some(Reach::AtMost(Quantity::times(most))), ..self }
    }

    fn met(&self) -> Option<bool> {
        self.reach.map(|reach| reach.is_met_by(self.compared))
    }

    fn json(&self, part: &str) -> Value {
        json!({
            "part": part,
            "what": self.what,
            "measured": self.measured.json(),
            "baseline": self.baseline.as_ref().map(|(quantity, of)| json!({ "of": of, "quantity": quantity.json() })),
            "compared": self.compared.json(),
            "reach": self.reach.map(Reach::json),
            "met": self.met(),
        })
    }

    fn cells(&self, part: &str) -> [String; 7] {
        let ratio = self.baseline.is_some().then(|| self.compared.to_string());
        [
            part.to_owned(),
            self.what.clone(),
            self.measured.to_string(),
            self.baseline.as_ref().map(|(quantity, of)| format!("{quantity} {of}")).unwrap_or_default(),
            ratio.unwrap_or_default(),
            self.reach.map(|reach| reach.to_string()).unwrap_or_default(),
            self.met().map(|met| if met { "yes" } else { "NO" }.to_owned()).unwrap_or_default(),
        ]
    }
}

/// What became of one part.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) part: &'static str,
    pub(crate) seconds: f64,
    /// What it found, or why it could not go on.
    pub(crate) outcome: Result<Vec<Figure>, String>,
}

/// The reports as programs read them.
pub(crate) fn json(reports: &[Report], machine: &Value) -> Value {
    let figures: Vec<Value> = reports
        .iter()
        .flat_map(|report| report.outcome.iter().flatten().map(|figure| figure.json(report.part)))
        .collect();
    let parts: Vec<Value> = reports
        .iter()
        .map(|report| json!({ "part": report.part, "seconds": report.seconds, "fault": report.outcome.as_ref().err() }))
        .collect();
    json!({ "machine": machine, "parts": parts, "figures": figures })
}

const HEAD: [&str; 7] = ["part", "what", "measured", "baseline", "ratio", "reach", "met"];

fn rows(reports: &[Report]) -> impl Iterator<Item = [String; 7]> {
    reports.iter().flat_map(|report| match &report.outcome {
        Ok(figures) => figures.iter().map(|figure| figure.cells(report.part)).collect(),
        Err(_) => vec![[report.part, "FAILED, see below", "", "", "", "", "NO"].map(str::to_owned)],
    })
}

/// The reports as people read them in a terminal.
pub(crate) fn table(reports: &[Report]) -> String {
    let rows: Vec<[String; 7]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows(reports)).collect();
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 7]| {
        let cells =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell}{:1$}", "", width - cell.chars().count()));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let faults = reports.iter().filter_map(|report| report.outcome.as_ref().err().map(|fault| (report.part, fault)));
    let faults = faults.map(|(part, fault)| format!("{part} failed: {fault}\n"));
    rows.iter().map(line).chain(faults).collect()
}

/// The same table for a page of the documentation.
pub(crate) fn markdown(reports: &[Report]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = "| --- | --- | ---: | ---: | ---: | ---: | --- |\n".to_owned();
    [line(&HEAD.map(str::to_owned)), rule].into_iter().chain(rows(reports).map(|row| line(&row))).collect()
}

/// The middle one, which a single disturbed round does not move.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
