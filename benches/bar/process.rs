//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Ticks of `utime` and `stime` in a second: `USER_HZ` is a part of Linux's interface, and 100 on every architecture in use.
const TICKS_A_SECOND: f64 = 100.0;

/// CPU time of a process and all its threads so far, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the measured process is gone")?;
    // The program's name stands in parentheses and may hold spaces and parentheses itself.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat is not as Linux writes it")?;
    let field = |index: usize| fields.split_whitespace().nth(index).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = (field(11), field(12));
    let ticks = user.zip(system).context("/proc/PID/stat is not as Linux writes it")?;
    Ok((ticks.0 + ticks.1) / TICKS_A_SECOND)
}

/// What the process has in memory now, and the most it ever had since [`forget_peak`], in bytes.
pub(crate) fn memory_bytes(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the measured process is gone")?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kibibytes| kibibytes * 1024.0)
    };
    bytes("VmRSS:").zip(bytes("VmHWM:")).context("/proc/PID/status does not tell the memory")
}

/// From here on the peak is counted anew.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak of the memory cannot be reset")
}

/// Waits until the process has nothing to do, for at most `most`: what a start or a load left behind is not measured.
pub(crate) async fn until_calm(pid: u32, most: Duration) -> anyhow::Result<()> {
    let step = Duration::from_millis(500);
    let mut left = most;
    let mut before = cpu_seconds(pid)?;
    while !left.is_zero() {
        tokio::time::sleep(step).await;
        left = left.saturating_sub(step);
        let now = cpu_seconds(pid)?;
        if now - before < 0.05 {
            break;
        }
        before = now;
    }
    Ok(())
}
