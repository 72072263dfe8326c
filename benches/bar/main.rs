//! Measures how fast the service is, against real servers on this machine, each figure beside its baseline in the same run.
//!
//! `script/bench` builds and runs it; docs/performance.md says what the figures are and how they come about. What must stay true:
//! a part stands by itself; a part that fails is told, and the others go on; nothing that was started is left running.

mod baseline;
mod caller;
mod events;
mod figures;
mod load;
mod parts;
mod process;
mod rest;
mod seed;
mod stand;
mod tokens;
mod tools;
mod wire;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use serde_json::{Value, json};
use tokio::time::timeout;

use baseline::Kind;
use figures::Report;
use parts::PARTS;
use stand::{Sizes, Stand};

/// No part takes nearly so long.
const PART_MOST: Duration = Duration::from_mins(7);

/// Measures the service, each figure beside its baseline.
#[derive(Debug, Parser)]
#[command(name = "script/bench")]
struct Args {
    /// What to measure [default: everything]
    #[arg(value_name = "PART", value_parser = clap::builder::PossibleValuesParser::new(PARTS.map(|part| part.name)))]
    parts: Vec<String>,
    /// Say what can be measured
    #[arg(long)]
    list: bool,
    /// Smaller sizes and short spans: to see that it works, not to learn how fast it is
    #[arg(long)]
    quick: bool,
    /// Where to write the figures for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to write the table for docs/performance.md
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Where the servers keep their data; it must be new
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Be one of the servers that the service is held against
    #[arg(long, hide = true)]
    baseline: Option<Kind>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.baseline {
        Some(kind) => baseline::serve(kind),
        None => run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        for part in &PARTS {
            println!("{:14}  {}", part.name, part.what);
        }
        return Ok(());
    }
    // The one crypto provider of the process, for the HTTP client of imports.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let machine = machine(args.quick);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let reports = runtime.block_on(measure(args))?;
    print!("\n{}", figures::table(&reports));
    let json = serde_json::to_string_pretty(&figures::json(&reports, &machine))? + "\n";
    for (file, text) in [(&args.json, json), (&args.markdown, figures::markdown(&reports))] {
        if let Some(file) = file {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Vec<Report>> {
    let directory = args.data_dir.clone().context("--data-dir is missing: script/bench gives it")?;
    let sizes = if args.quick { Sizes::QUICK } else { Sizes::WHOLE };
    let mut stand = Stand::start(&directory, sizes).await?;
    let mut interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let measured = tokio::select! {
        reports = all(args, &mut stand) => reports,
        _ = interrupted.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminated.recv() => Err(anyhow::anyhow!("stopped")),
    };
    stand.restore().await?;
    stand.stop().await;
    measured
}

async fn all(args: &Args, stand: &mut Stand) -> anyhow::Result<Vec<Report>> {
    let mut reports = Vec::new();
    for part in &PARTS {
        if !args.parts.is_empty() && !args.parts.iter().any(|name| name == part.name) {
            continue;
        }
        eprintln!("{}: {}", part.name, part.what);
        let began = Instant::now();
        let outcome = match timeout(PART_MOST, (part.run)(stand)).await {
            Ok(outcome) => outcome.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("it took longer than {PART_MOST:?}")),
        };
        let report = Report { part: part.name, seconds: began.elapsed().as_secs_f64(), outcome };
        eprint!("{}", figures::table(std::slice::from_ref(&report)));
        eprintln!("{}: {:.0} s\n", part.name, report.seconds);
        reports.push(report);
        stand.restore().await?;
    }
    Ok(reports)
}

/// What the figures were found on.
fn machine(quick: bool) -> Value {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let release = read("/etc/os-release");
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    json!({
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "model": model,
        "system": system.map(|name| name.trim_matches('"')),
        // What else kept it busy before.
        "loadAverage": read("/proc/loadavg").split_whitespace().next(),
        "quick": quick,
    })
}
