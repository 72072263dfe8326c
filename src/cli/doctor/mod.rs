//! `numbering doctor`: says in plain words what is wrong with an installation, and what to do about it.
//!
//! What must stay true: it changes nothing; every check says something, whether it went well or not; and one that cannot
//! be made because another failed is not held against the installation a second time.

mod alertmanager;
mod billing;
mod keys;
mod nats;
mod postgres;
mod redis;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use super::{ConfigArgs, print_out};
use crate::config::{Config, ConfigFaults};

/// How long a server may take to answer one check.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `doctor` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    match args.config.load() {
        Ok(config) => {
            findings.ok("configuration", "every setting is sound");
            examine(&config, &mut findings).await;
        }
        Err(ConfigFaults(faults)) => {
            for fault in faults {
                findings.fail("configuration", fault.to_string(), "config.default.toml documents every setting");
            }
        }
    }
    print_out(&findings.to_string())?;
    Ok(if findings.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(config: &Config, findings: &mut Findings) {
    postgres::examine(&config.database, findings).await;
    redis::examine(&config.redis, findings).await;
    nats::examine(&config.nats, findings).await;
    keys::examine(&config.auth, findings).await;
    billing::examine(&config.billing, findings).await;
    alertmanager::examine(&config.alertmanager, findings).await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    subject: &'static str,
    found: String,
    hint: Option<String>,
}

/// What was found so far, in the order of looking.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// This is as it should be.
    fn ok(&mut self, subject: &'static str, found: impl Into<String>) {
        self.0.push(Finding { verdict: Verdict::Ok, subject, found: found.into(), hint: None });
    }

    /// The service works, but not as well as it should.
    fn warn(&mut self, subject: &'static str, found: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into());
        self.0.push(Finding { verdict: Verdict::Warn, subject, found: found.into(), hint });
    }

    /// The service does not work like this.
    fn fail(&mut self, subject: &'static str, found: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into());
        self.0.push(Finding { verdict: Verdict::Fail, subject, found: found.into(), hint });
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|finding| finding.verdict == verdict).count()
    }

    fn is_sound(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { verdict, subject, found, hint } in &self.0 {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "fail",
            };
            writeln!(f, "{verdict:<5} {subject:<14} {found}")?;
            if let Some(hint) = hint {
                writeln!(f, "      {:<14} hint: {hint}", "")?;
            }
        }
        match (self.count(Verdict::Fail), self.count(Verdict::Warn)) {
            (0, 0) => writeln!(f, "nothing is wrong"),
            (0, warnings) => writeln!(f, "it works; to be looked at: {warnings}"),
            (failures, _) => writeln!(f, "it does not work like this; to be mended: {failures}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_with_their_hints_and_a_conclusion() {
        let mut findings = Findings::default();
        findings.ok("configuration", "every setting is sound");
        assert!(findings.is_sound() && findings.to_string().ends_with("nothing is wrong\n"));
        findings.warn("Redis", "is away", "start it");
        assert!(findings.is_sound() && findings.to_string().ends_with("it works; to be looked at: 1\n"));
        findings.fail("PostgreSQL", "is away", "start it");
        assert!(!findings.is_sound());
        let expected = "ok    configuration  every setting is sound\n\
                        warn  Redis          is away\n\
                        \x20                    hint: start it\n\
                        fail  PostgreSQL     is away\n\
                        \x20                    hint: start it\n\
                        it does not work like this; to be mended: 1\n";
        assert_eq!(findings.to_string(), expected);
    }
}
