//! Where settings come from: the file, then the environment over it; and what is wrong with what they say.
//!
//! What must stay true: nothing that was set is ignored. A setting that no section asks for is a fault.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::value::{Given, Setting};

const PREFIX: &str = "NUMBERING_";

/// Names with our prefix and one underscore that `numbering dev` writes for people's shells; settings have two.
const WRITTEN_FOR_SHELLS: [&str; 6] = [
    "NUMBERING_DATABASE_URL",
    "NUMBERING_REDIS_URL",
    "NUMBERING_NATS_URL",
    "NUMBERING_HTTP_URL",
    "NUMBERING_GRPC_ADDR",
    "NUMBERING_BILLING_URL",
];

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// The setting (`policy.hold_ttl`), or the file's path where it cannot be read at all.
    pub setting: String,
    /// What is wrong with it.
    pub fault: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.fault)
    }
}

/// Everything that is wrong with the configuration, all at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFaults(pub Vec<ConfigFault>);

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Everything that was set, by path, and the faults found on the way.
#[derive(Debug, Default)]
pub(super) struct Sources {
    given: BTreeMap<String, Given>,
    known: Vec<&'static str>,
    faults: Vec<ConfigFault>,
}

impl Sources {
    pub(super) fn gather<K, V>(file: Option<&Path>, environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut sources = Self::default();
        if let Some(path) = file {
            sources.add_file(path);
        }
        for (name, value) in environment {
            sources.add_variable(&name.into(), value.into());
        }
        sources
    }

    fn add_file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Err(error) => self.fault(&shown, format!("cannot be read: {error}")),
            Ok(text) => match text.parse::<toml::Table>() {
                Err(error) => self.fault(&shown, format!("is not TOML: {}", error.to_string().trim_end())),
                Ok(table) => self.add_table("", table),
            },
        }
    }

    fn add_table(&mut self, prefix: &str, table: toml::Table) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(inner) if !inner.is_empty() => self.add_table(&path, inner),
                value => {
                    self.given.insert(path, Given::File(value));
                }
            }
        }
    }

    fn add_variable(&mut self, name: &OsString, value: OsString) {
        let Some(name) = name.to_str() else { return };
        let Some(path) = name.strip_prefix(PREFIX) else { return };
        if WRITTEN_FOR_SHELLS.contains(&name) {
            return;
        }
        match (path.contains("__"), value.into_string()) {
            (true, Ok(value)) => {
                self.given.insert(path.to_ascii_lowercase().replace("__", "."), Given::Environment(value));
            }
            (true, Err(_)) => self.fault(name, "is not UTF-8".to_owned()),
            // Not a setting: a platform puts names of its own into the environment (`NUMBERING_SERVICE_HOST`).
            // It is remembered only to catch a setting written with one underscore.
            (false, value) => {
                let value = value.unwrap_or_default();
                self.given.insert(format!("{PREFIX}{path}"), Given::Environment(value));
            }
        }
    }

    pub(super) fn fault(&mut self, setting: &str, fault: String) {
        self.faults.push(ConfigFault { setting: setting.to_owned(), fault });
    }

    /// Takes one setting; without a default it is required. What it returns after a fault is never used, as a
    /// configuration with a fault is refused.
    pub(super) fn take<T: Setting>(&mut self, path: &'static str, default: Option<T>, never_used: fn() -> T) -> T {
        self.known.push(path);
        match (self.given.remove(path), default) {
            (Some(given), _) => T::read(&given).unwrap_or_else(|fault| {
                self.fault(path, fault);
                never_used()
            }),
            (None, Some(default)) => default,
            (None, None) => {
                self.fault(path, format!("must be set (file, or {} in the environment)", variable(path)));
                never_used()
            }
        }
    }

    /// The end: what nobody asked for is a fault too.
    pub(super) fn finish(mut self) -> Result<Vec<&'static str>, ConfigFaults> {
        for (path, given) in std::mem::take(&mut self.given) {
            if let Some(rest) = path.strip_prefix(PREFIX) {
                let meant = self.known.iter().find(|known| known.replace('.', "_") == rest.to_ascii_lowercase());
                if let Some(meant) = meant {
                    let fault = format!("is no setting; hint: write {}", variable(meant));
                    self.fault(&path, fault);
                }
                continue;
            }
            let empty_section = matches!(&given, Given::File(toml::Value::Table(_)))
                && self.known.iter().any(|known| known.starts_with(&format!("{path}.")));
            if !empty_section {
                let hint = self.nearest(&path).map_or_else(String::new, |near| format!("; hint: did you mean {near}?"));
                self.fault(&path, format!("is no setting{hint}"));
            }
        }
        if self.faults.is_empty() { Ok(self.known) } else { Err(ConfigFaults(self.faults)) }
    }

    fn nearest(&self, path: &str) -> Option<&'static str> {
        let distance = |known: &&&'static str| edit_distance(known, path);
        self.known.iter().min_by_key(distance).filter(|known| edit_distance(known, path) <= 3).copied()
    }
}

/// The environment variable of a setting.
fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
