//! Time counts at use: a command that comes before the sweep and one that comes after it must find the same and leave the
//! same, to the last journal entry.

use jiff::Timestamp;
use numbering_domain::number::{Number, State};
use numbering_domain::transition::{EndedLease, Step, Transition};
use numbering_domain::{Acting, Command, Policy, TenantStanding, decide};

use crate::world::Usage;

/// What sweeps have done to a number.
struct Swept {
    number: Number,
    steps: Vec<Step>,
    usage: Usage,
    ended: Vec<EndedLease>,
}

impl Swept {
    fn take(&mut self, transition: Transition) {
        assert!(!transition.steps.is_empty(), "a sweep that changes nothing");
        self.number = transition.after;
        self.steps.extend(transition.steps);
        self.ended.extend(transition.ended);
        for (key, change) in transition.usage {
            *self.usage.entry(key).or_default() += change;
        }
        self.usage.retain(|_, change| *change != 0);
    }
}

/// Sweeps what is over by `now`: at `now`, or each time at the very deadline.
fn sweep(number: &Number, policy: &Policy, now: Timestamp, punctually: bool) -> Swept {
    let mut swept = Swept { number: number.clone(), steps: Vec::new(), usage: Usage::new(), ended: Vec::new() };
    while let Some(deadline) = swept.number.state.deadline().filter(|deadline| *deadline <= now) {
        let command = match &swept.number.state {
            State::Available => unreachable!("has no deadline"),
            State::Reserved(claim) | State::Held(claim) => {
                Command::ExpireReservation { reservation_id: claim.reservation_id }
            }
            State::Leased(lease) | State::Suspended(lease) => Command::ExpireLease { lease_id: lease.lease_id },
            State::Quarantine(_) => Command::EndQuarantine,
        };
        let at = if punctually { deadline } else { now };
        swept.take(decide(&swept.number, Acting::Authority, &command, policy, at).unwrap());
    }
    swept
}

/// Checks that deciding `command` is the same with and without sweeps before it.
pub(crate) fn check_commutes(
    number: &Number,
    standing: Option<&TenantStanding>,
    command: &Command,
    policy: &Policy,
    now: Timestamp,
) {
    let is_sweep =
        matches!(command, Command::ExpireReservation { .. } | Command::ExpireLease { .. } | Command::EndQuarantine);
    if is_sweep || number.state.deadline().is_none_or(|deadline| now < deadline) {
        return;
    }
    let directly = decide(number, acting(standing), command, policy, now);
    for punctually in [false, true] {
        let mut swept = sweep(number, policy, now, punctually);
        let standing = standing.map(|standing| counted(standing, &swept.usage));
        let decided = decide(&swept.number, acting(standing.as_ref()), command, policy, now);
        let both = decided.map(|transition| {
            let (granted_on, commit_before) = (transition.standing.clone(), transition.commit_before);
            swept.take(transition);
            Transition {
                before: number.clone(),
                after: swept.number,
                steps: swept.steps,
                usage: swept.usage,
                ended: swept.ended,
                standing: granted_on,
                commit_before,
            }
        });
        assert_eq!(directly, both, "{command:?}, swept punctually: {punctually}");
    }
}

fn acting(standing: Option<&TenantStanding>) -> Acting<'_> {
    standing.map_or(Acting::Authority, Acting::Tenant)
}

fn counted(standing: &TenantStanding, usage: &Usage) -> TenantStanding {
    let mut standing = standing.clone();
    for ((tenant, counter), change) in usage {
        if *tenant == standing.tenant {
            *standing.used.get_mut(*counter) += change;
        }
    }
    standing
}
