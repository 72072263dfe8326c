//! Publishes which quarantines were ended before their time, day by day (US-NUM-006).
//!
//! What must stay true: each day (UTC) that is over is told once, the days that were missed too, as far back as
//! [`DAYS_BACK_MOST`]; a day without an override is told as well, so that silence is never taken for one.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Job, JobError, Run};
use crate::events::payload::time;
use crate::store::reports::{Overridden, OverridesOfDay, Report};
use crate::store::{Store, StoreError};

/// The job's name.
pub const NAME: &str = "override_report";
/// The event that publishes a report.
pub const EVENT: &str = "numbering.quarantine.override_report";

/// What the journal files the reports under, before the day.
const REPORT: &str = "quarantine_overrides";
/// How long after its end a day is reported on: by then all that was committed in it can be seen.
const DAY_OVER_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// How many days are made up for.
const DAYS_BACK_MOST: i32 = 31;
/// The most overrides in one event.
const ITEMS_MOST: i64 = 1_000;
/// The most bytes of them: an event must fit into a message, which NATS holds to a megabyte unless told otherwise.
const ITEMS_MOST_BYTES: usize = 500_000;
/// How often to look whether a day is over.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct OverrideReport {
    store: Store,
    committed: Arc<Notify>,
    schedule: String,
}

impl OverrideReport {
    /// By this schedule at the latest; `committed` is woken after each commit, for the relay of events.
    #[must_use]
    pub fn new(store: Store, committed: Arc<Notify>, schedule: &str) -> Self {
        Self { store, committed, schedule: schedule.to_owned() }
    }

    async fn unreported(&self) -> Result<(Timestamp, Vec<Date>), StoreError> {
        let now = self.store.moment().await?;
        Ok((now, self.store.unreported_days(REPORT, current_day(now), DAYS_BACK_MOST).await?))
    }
}

impl Job for OverrideReport {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:override_report"
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        let (_, days) = self.unreported().await?;
        Ok((!days.is_empty()).then_some(Duration::ZERO))
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let (now, days) = self.unreported().await?;
        let mut published = 0;
        for day in days {
            if !run.may_go_on() {
                return Err(JobError::Interrupted { so_far: json!({ "published": published }) });
            }
            let data = told(day, &self.store.overrides_of_day(day, ITEMS_MOST).await?);
            let report = Report { name: REPORT, day, event_type: EVENT, data: &data, at: now };
            if self.store.publish_report(&run.role(), &report, &run.origin()).await? {
                published += 1;
                self.committed.notify_one();
            }
        }
        Ok(json!({ "published": published }))
    }
}

/// The day (UTC) that is not over yet, nor has been for long enough.
fn current_day(now: Timestamp) -> Date {
    now.checked_sub(DAY_OVER_AFTER).unwrap_or(now).to_zoned(TimeZone::UTC).date()
}

/// The event's data: the first items, as many as fit.
pub(crate) fn told(day: Date, overrides: &OverridesOfDay) -> Value {
    let mut items = Vec::with_capacity(overrides.items.len());
    let mut bytes = 0;
    for item in overrides.items.iter().map(told_of) {
        bytes += item.to_string().len();
        if bytes > ITEMS_MOST_BYTES {
            break;
        }
        items.push(item);
    }
    let truncated = i64::try_from(items.len()).is_ok_and(|told| told < overrides.count);
    json!({ "date": day.to_string(), "count": overrides.count, "items": items, "truncated": truncated })
}

fn told_of(overridden: &Overridden) -> Value {
    let mut item = json!({
        "identifier": overridden.identifier,
        "identifierClass": overridden.class.as_str(),
        "at": time(overridden.at),
        "actor": overridden.actor,
        "requestId": overridden.request_id,
        "justification": overridden.justification,
        "availableAt": time(overridden.available_at),
        "earlyBySeconds": overridden.early_by_seconds(),
    });
    if let Some(lease_id) = overridden.lease_id {
        item["leaseId"] = lease_id.to_string().into();
    }
    if let Some(tenant) = &overridden.tenant {
        item["tenantId"] = tenant.as_str().into();
    }
    item
}

#[cfg(test)]
mod tests {
    use numbering_domain::IdentifierClass;

    use super::*;

    fn overridden(justification: &str) -> Overridden {
        Overridden {
            identifier: "+93701234567".to_owned(),
            class: IdentifierClass::Msisdn,
            at: "2026-04-20T08:00:00.25Z".parse().unwrap(),
            actor: "ops".to_owned(),
            request_id: "1".to_owned(),
            justification: justification.to_owned(),
            available_at: "2026-04-21T08:00:00Z".parse().unwrap(),
            lease_id: None,
            tenant: None,
        }
    }

    #[test]
    fn a_day_is_over_ten_minutes_after_its_end() {
        for (now, current) in [
            ("2026-04-20T23:59:59Z", "2026-04-20"),
            ("2026-04-21T00:09:59Z", "2026-04-20"),
            ("2026-04-21T00:10:00Z", "2026-04-21"),
        ] {
            assert_eq!(current_day(now.parse().unwrap()).to_string(), current, "{now}");
        }
    }

    #[test]
    fn an_event_holds_what_fits_and_says_that_there_is_more() {
        let day: Date = "2026-04-20".parse().unwrap();
        let few = OverridesOfDay { count: 2, items: vec![overridden("by mistake"); 2] };
        let data = told(day, &few);
        assert_eq!(
            (&data["date"], &data["count"], &data["truncated"]),
            (&json!("2026-04-20"), &json!(2), &json!(false))
        );
        assert_eq!(data["items"][1]["earlyBySeconds"], 86_399, "whole seconds");
        let many = OverridesOfDay { count: 1_001, items: vec![overridden("by mistake"); 1_000] };
        assert_eq!(told(day, &many)["truncated"], true);
        let long = OverridesOfDay { count: 1_000, items: vec![overridden(&"ـ".repeat(2_000)); 1_000] };
        let data = told(day, &long);
        assert_eq!(data["truncated"], true);
        assert!(data.to_string().len() < 600_000 && data["items"].as_array().unwrap().len() > 100, "it fits");
    }
}
