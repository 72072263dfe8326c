//! Tells Alertmanager of the service's own alerts, so that a page needs no scrape.
//!
//! What must stay true: what is told is what is stored, so that a crash loses nothing: an open alert is told again and again, the end
//! of one until it has been acknowledged. An Alertmanager that is away, slow or refuses is tried again, later each time, and
//! nothing else waits for it. An alert without an end lasts as long as Alertmanager's own clock and `resolve_timeout` say, so
//! that no clock here has to agree with its. Those that page are told first, and the newest before older ones; however many there are,
//! each has its turn. An end that is refused again and again is given up. What an alert is about stands in an annotation; labels name the alert alone.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use serde::Serialize;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::remote;
use crate::boot_clock::BootInstant;
use crate::config;
use crate::store::alerts::{Alert, PushPlace};
use crate::store::leadership::{Leadership, Replica};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Pushed};

/// The role of the replica that tells it.
const ROLE: &str = "alertmanager";
/// How long a replica that fell silent stays the one, beside the time that an answer may take.
const LEADERSHIP: Duration = Duration::from_secs(5);
/// How often to look what is to be told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most alerts that are looked at, and told at once.
const MOST: i64 = 500;
/// So often the end of an alert is refused before it is given up.
const REFUSALS_MOST: u32 = 10;
/// The longest pause after something failed.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a stopping holder waits for PostgreSQL to hear that it resigns; else its term runs out.
const RESIGN: Duration = Duration::from_secs(1);

/// The settings describe no Alertmanager that can be told.
#[derive(Debug, thiserror::Error)]
pub enum AlertmanagerError {
    /// `alertmanager.url` is no address.
    #[error("alertmanager.url is no address that can be told")]
    Address,
    /// `alertmanager.token` cannot stand in a header.
    #[error("alertmanager.token cannot stand in a header")]
    Token,
    /// The client could not be made.
    #[error("Alertmanager cannot be told: {0}")]
    Client(#[from] reqwest::Error),
}

/// Why Alertmanager was told in vain.
#[derive(Debug, thiserror::Error)]
pub enum NotTold {
    /// No answer was to be had.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("it did not answer within {0:?}")]
    Late(Duration),
    /// It answered that it does not work, or does not let this service in.
    #[error("it answered {0}")]
    Failed(StatusCode),
    /// It would not hear of one of these alerts; it has taken the others.
    #[error("it refused an alert")]
    Refused,
}

/// Why this replica stopped telling it for now.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    NotTold(#[from] NotTold),
}

/// An alert, as Alertmanager's API has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    labels: Labels<'a>,
    annotations: Annotations<'a>,
    starts_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
}

/// What tells one alert from another.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Labels<'a> {
    alertname: &'a str,
    severity: &'a str,
    service: &'static str,
    alert_id: Uuid,
}

#[derive(Serialize)]
struct Annotations<'a> {
    summary: &'a str,
    subject: &'a str,
    runbook: &'a str,
}

impl<'a> Told<'a> {
    fn of(alert: &'a Alert) -> Self {
        Self {
            labels: Labels {
                alertname: &alert.name,
                severity: &alert.severity,
                service: "numbering",
                alert_id: alert.alert_id,
            },
            annotations: Annotations { summary: &alert.summary, subject: &alert.subject, runbook: &alert.runbook },
            // An alert about the clock may have ended before it began.
            starts_at: alert.resolved_at.map_or(alert.raised_at, |ended| ended.min(alert.raised_at)),
            ends_at: alert.resolved_at,
        }
    }
}

/// Alertmanager. Cheap to clone.
#[derive(Clone)]
pub struct Alertmanager {
    client: Client,
    alerts: Url,
    ready: Url,
    bearer: Option<HeaderValue>,
    timeout: Duration,
    repeat_every: Duration,
}

impl fmt::Debug for Alertmanager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alertmanager").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Alertmanager {
    /// The one that the settings describe; `None` where they name none.
    ///
    /// # Errors
    /// [`AlertmanagerError`] where it cannot be told.
    pub fn new(settings: &config::Alertmanager) -> Result<Option<Self>, AlertmanagerError> {
        let Some(url) = &settings.url else { return Ok(None) };
        let base: Url = url.as_str().parse().map_err(|_| AlertmanagerError::Address)?;
        let at = |path: &[&str]| {
            let mut url = base.clone();
            url.path_segments_mut().map_err(|()| AlertmanagerError::Address)?.pop_if_empty().extend(path);
            Ok::<Url, AlertmanagerError>(url)
        };
        let bearer = remote::bearer(settings.token.as_ref()).map_err(|_| AlertmanagerError::Token)?;
        let timeout = settings.timeout.duration();
        Ok(Some(Self {
            client: remote::client(&base, timeout)?,
            alerts: at(&["api", "v2", "alerts"])?,
            ready: at(&["-", "ready"])?,
            bearer,
            timeout,
            repeat_every: settings.repeat_every.duration(),
        }))
    }

    /// Tells it of these alerts.
    ///
    /// # Errors
    /// [`NotTold`]; after [`NotTold::Refused`] it has those that it would hear of.
    async fn tell(&self, alerts: &[&Alert]) -> Result<(), NotTold> {
        let body: Vec<Told<'_>> = alerts.iter().map(|alert| Told::of(alert)).collect();
        let request = self.with_bearer(self.client.post(self.alerts.clone())).json(&body);
        let status = request.send().await.map_err(|error| self.not_told(&error))?.status();
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Err(NotTold::Refused),
            status => Err(NotTold::Failed(status)),
        }
    }

    /// Whether there is one, and ready.
    ///
    /// # Errors
    /// [`NotTold`] where it is not.
    pub async fn probe(&self) -> Result<(), NotTold> {
        let request = self.with_bearer(self.client.get(self.ready.clone()));
        let status = request.send().await.map_err(|error| self.not_told(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(NotTold::Failed(status)) }
    }

    fn with_bearer(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer.clone()),
            None => request,
        }
    }

    fn not_told(&self, error: &reqwest::Error) -> NotTold {
        if error.is_timeout() {
            return NotTold::Late(self.timeout);
        }
        // The innermost cause says it; the outer ones repeat the address, which may hold a password.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        NotTold::Unreachable(cause.to_string())
    }
}

/// Tells Alertmanager what it is to know, on one replica at a time.
#[derive(Debug)]
pub struct Pusher {
    store: Store,
    alertmanager: Alertmanager,
    replica: Replica,
    metrics: std::sync::Arc<Metrics>,
}

/// What was told, and when it is to be told again.
#[derive(Clone, Copy, Debug)]
struct Heard {
    ended: bool,
    again: BootInstant,
    /// How often that was refused.
    refusals: u32,
}

impl Pusher {
    /// For this replica.
    #[must_use]
    pub const fn new(
        store: Store,
        alertmanager: Alertmanager,
        replica: Replica,
        metrics: std::sync::Arc<Metrics>,
    ) -> Self {
        Self { store, alertmanager, replica, metrics }
    }

    /// Tells until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let pauses = || {
            ExponentialBuilder::new().with_min_delay(LOOK_EVERY).with_max_delay(PAUSE_MAX).without_max_times().build()
        };
        let mut failures = pauses();
        while !stop.is_cancelled() {
            let failed = match self.serve_a_term(&stop).await {
                Ok(told) => {
                    failures = if told { pauses() } else { failures };
                    false
                }
                Err(error) => {
                    tracing::warn!(%error, "Alertmanager could not be told of alerts");
                    true
                }
            };
            let pause = if failed { failures.next().unwrap_or(PAUSE_MAX) } else { LOOK_EVERY };
            tokio::select! { () = sleep(pause) => {}, () = stop.cancelled() => {} }
        }
    }

    /// Tells as long as this replica is the one; gives whether anything was told.
    async fn serve_a_term(&self, stop: &CancellationToken) -> Result<bool, PushError> {
        let acquired = self.store.acquire_leadership(ROLE, &self.replica, self.term()).await?;
        let Some(mut role) = acquired else { return Ok(false) };
        let mut heard = HashMap::new();
        let ended = loop {
            if stop.is_cancelled() {
                break Ok(());
            }
            match self.tell_what_is_due(&mut role, &mut heard).await {
                Ok(true) => {}
                Ok(false) => return Ok(!heard.is_empty()),
                Err(error) => break Err(error),
            }
            tokio::select! { () = sleep(LOOK_EVERY) => {}, () = stop.cancelled() => {} }
        };
        // Another replica may reach it where this one does not.
        if let Ok(Err(error)) = timeout(RESIGN, self.store.resign_leadership(role)).await {
            tracing::debug!(%error, "the role could not be resigned");
        }
        ended.map(|()| !heard.is_empty())
    }

    /// How long the role is held: long enough to hear an answer, and for a while more.
    fn term(&self) -> Duration {
        LEADERSHIP + self.alertmanager.timeout
    }

    /// Sees to it that the role is held until an answer is there; `false` where it is over. A replica that was frozen must not say
    /// that an alert is open which ended meanwhile.
    async fn holds_on(&self, role: &mut Leadership) -> Result<bool, StoreError> {
        let remaining = role.until().remaining();
        if remaining > self.alertmanager.timeout + LEADERSHIP / 2 {
            return Ok(true);
        }
        let renewed = self.store.renew_leadership(role, self.term()).await?;
        let held = renewed.is_some();
        if let Some(renewed) = renewed {
            *role = renewed;
        }
        Ok(held)
    }

    /// Goes through all that it is to know, page by page, and tells what is due; `false` where the role is over.
    async fn tell_what_is_due(
        &self,
        role: &mut Leadership,
        heard: &mut HashMap<Uuid, Heard>,
    ) -> Result<bool, PushError> {
        let mut all = HashSet::new();
        let mut place = PushPlace::FIRST;
        loop {
            if !self.holds_on(role).await? {
                return Ok(false);
            }
            let page = self.store.alerts_to_push(place, MOST).await?;
            let Some((last, _)) = page.last() else { break };
            place = *last;
            all.extend(page.iter().map(|(_, alert)| alert.alert_id));
            let due = page.iter().map(|(_, alert)| alert).filter(|alert| is_due(alert, heard)).collect::<Vec<&Alert>>();
            if !due.is_empty() && !self.tell_page(role, heard, &due).await? {
                return Ok(false);
            }
        }
        heard.retain(|id, _| all.contains(id));
        Ok(true)
    }

    /// Tells of these, and notes the ends that are known or given up; `false` where the role is over.
    async fn tell_page(
        &self,
        role: &mut Leadership,
        heard: &mut HashMap<Uuid, Heard>,
        alerts: &[&Alert],
    ) -> Result<bool, PushError> {
        let mut told = Vec::with_capacity(alerts.len());
        let outcome = self.tell_each_or_all(role, alerts, &mut told).await;
        let mut over = Vec::new();
        for (alert, taken) in told {
            let ended = alert.resolved_at.is_some();
            let before = heard.get(&alert.alert_id).filter(|heard| heard.ended == ended);
            let refusals = if taken { 0 } else { before.map_or(0, |heard| heard.refusals) + 1 };
            let again = BootInstant::now().after(self.alertmanager.repeat_every);
            heard.insert(alert.alert_id, Heard { ended, again, refusals });
            if ended && refusals >= REFUSALS_MOST {
                tracing::error!(alert = alert.name, alert_id = %alert.alert_id, "Alertmanager refuses the end of an alert; it is given up");
                self.metrics.alertmanager_pushes.get_or_create(&Pushed { outcome: "given_up" }).inc();
            }
            if ended && (taken || refusals >= REFUSALS_MOST) {
                over.push(alert.alert_id);
            }
        }
        // What was taken before something failed was taken.
        if !over.is_empty() {
            self.store.acknowledge_ends(&over).await?;
        }
        outcome
    }

    /// All at once; where one is refused, each by itself, so that it does not stand in the way of the others. Notes in `told` which were
    /// taken and which refused; gives `false` where the role is over.
    async fn tell_each_or_all<'a>(
        &self,
        role: &mut Leadership,
        alerts: &[&'a Alert],
        told: &mut Vec<(&'a Alert, bool)>,
    ) -> Result<bool, PushError> {
        if !self.holds_on(role).await? {
            return Ok(false);
        }
        match self.counted(self.alertmanager.tell(alerts).await) {
            Ok(()) => {
                told.extend(alerts.iter().map(|alert| (*alert, true)));
                return Ok(true);
            }
            Err(NotTold::Refused) => {}
            Err(error) => return Err(error.into()),
        }
        for alert in alerts {
            if !self.holds_on(role).await? {
                return Ok(false);
            }
            match self.counted(self.alertmanager.tell(&[alert]).await) {
                Ok(()) => told.push((alert, true)),
                Err(NotTold::Refused) => {
                    tracing::warn!(alert = alert.name, alert_id = %alert.alert_id, "Alertmanager refuses an alert");
                    told.push((alert, false));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn counted(&self, told: Result<(), NotTold>) -> Result<(), NotTold> {
        let outcome = match &told {
            Ok(()) => "accepted",
            Err(NotTold::Refused) => "refused",
            Err(NotTold::Unreachable(_) | NotTold::Late(_) | NotTold::Failed(_)) => "failed",
        };
        self.metrics.alertmanager_pushes.get_or_create(&Pushed { outcome }).inc();
        told
    }
}

/// Whether it is to be told of this now: it was not yet, or of its beginning alone, or long ago.
fn is_due(alert: &Alert, heard: &HashMap<Uuid, Heard>) -> bool {
    let ended = alert.resolved_at.is_some();
    heard.get(&alert.alert_id).is_none_or(|heard| heard.ended != ended || heard.again.remaining().is_zero())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert() -> Alert {
        Alert {
            alert_id: "01a205cd-c48b-7555-9de9-0d33f7694371".parse().unwrap(),
            name: "numbering_block_critical".to_owned(),
            severity: "SEV1".to_owned(),
            subject: "MSISDN/awcc/+9370".to_owned(),
            summary: "Next to nothing is left.".to_owned(),
            runbook: "docs/runbooks/pool-exhausted.md".to_owned(),
            raised_at: "2026-04-20T08:00:00Z".parse().unwrap(),
            resolved_at: None,
        }
    }

    #[test]
    fn an_open_alert_is_told_without_an_end_and_one_that_is_over_with_it() {
        let mut expected = json!({
            "labels": {
                "alertname": "numbering_block_critical", "severity": "SEV1", "service": "numbering",
                "alertId": "01a205cd-c48b-7555-9de9-0d33f7694371",
            },
            "annotations": {
                "summary": "Next to nothing is left.", "subject": "MSISDN/awcc/+9370",
                "runbook": "docs/runbooks/pool-exhausted.md",
            },
            "startsAt": "2026-04-20T08:00:00Z",
        });
        assert_eq!(serde_json::to_value(Told::of(&alert())).unwrap(), expected);
        let over = Alert { resolved_at: Some("2026-04-20T09:00:00Z".parse().unwrap()), ..alert() };
        expected["endsAt"] = json!("2026-04-20T09:00:00Z");
        assert_eq!(serde_json::to_value(Told::of(&over)).unwrap(), expected);
    }

    #[test]
    fn an_alert_about_the_clock_that_ended_before_it_began_is_one_that_alertmanager_takes() {
        let over = Alert { resolved_at: Some("2026-04-20T07:00:00Z".parse().unwrap()), ..alert() };
        let told = Told::of(&over);
        assert_eq!((Some(told.starts_at), told.ends_at), (over.resolved_at, over.resolved_at));
    }
}
