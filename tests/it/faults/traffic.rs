//! Many clients at once, each with one command after another, and a record of what each was told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, until};
use crate::support::{Answer, Client, TestApp};

/// A setting that gives numbers back to traffic soon after a recall.
pub(crate) const SHORT_REST: (&str, &str) = ("NUMBERING_POLICY__QUARANTINE__MSISDN", "1s");

/// How many of its neighbour's numbers a tenant looks at beside its own.
const SHARED: usize = 2;

/// What a client asks of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Reserve,
    Extend,
    Hold,
    Lease,
    Release,
    Recall,
    Suspend,
    Reinstate,
    Override,
}

impl Act {
    pub(crate) const ALL: [Self; 9] = [
        Self::Reserve,
        Self::Extend,
        Self::Hold,
        Self::Lease,
        Self::Release,
        Self::Recall,
        Self::Suspend,
        Self::Reinstate,
        Self::Override,
    ];

    /// The event of its effect.
    pub(crate) const fn event(self) -> &'static str {
        match self {
            Self::Reserve | Self::Extend | Self::Hold => "numbering.reservation.held",
            Self::Release => "numbering.reservation.released",
            Self::Lease => "numbering.lease.created",
            Self::Recall => "numbering.lease.recalled",
            Self::Suspend => "numbering.lease.suspended",
            Self::Reinstate => "numbering.lease.reinstated",
            Self::Override => "numbering.quarantine.overridden",
        }
    }

    const fn is_an_admin_s(self) -> bool {
        match self {
            Self::Reserve | Self::Extend | Self::Hold | Self::Lease | Self::Release => false,
            Self::Recall | Self::Suspend | Self::Reinstate | Self::Override => true,
        }
    }

    fn path(self, number: &str) -> String {
        match self {
            Self::Reserve => format!("/v1/numbers/{number}/reserve"),
            Self::Extend => format!("/v1/numbers/{number}/extend"),
            Self::Hold => format!("/v1/numbers/{number}/hold"),
            Self::Lease => format!("/v1/numbers/{number}/lease"),
            Self::Release => format!("/v1/numbers/{number}/release"),
            Self::Recall => format!("/v1/numbers/{number}/recall"),
            Self::Suspend => format!("/v1/admin/numbers/{number}/suspend"),
            Self::Reinstate => format!("/v1/admin/numbers/{number}/reinstate"),
            Self::Override => format!("/v1/admin/numbers/{number}/quarantine/release"),
        }
    }

    fn body(self, term: &str) -> Value {
        match self {
            Self::Reserve | Self::Extend | Self::Hold | Self::Release | Self::Suspend | Self::Reinstate => json!({}),
            Self::Lease => json!({ "term": term }),
            Self::Recall => json!({ "reason": "ABUSE", "ticketId": "T-1" }),
            Self::Override => json!({ "justification": "by mistake" }),
        }
    }
}

/// What a client takes its commands from: what leads to a lease more often than what ends it.
const DECK: [Act; 12] = [
    Act::Reserve,
    Act::Reserve,
    Act::Extend,
    Act::Hold,
    Act::Hold,
    Act::Lease,
    Act::Lease,
    Act::Release,
    Act::Recall,
    Act::Suspend,
    Act::Reinstate,
    Act::Override,
];

/// One command and what its client was told.
pub(crate) struct Told {
    pub(crate) request_id: String,
    pub(crate) act: Act,
    pub(crate) number: String,
    /// None where the connection broke before an answer came.
    pub(crate) answer: Option<Answer>,
    /// From the first attempt to the last answer.
    pub(crate) took: Duration,
    /// Who asked, so that it can be asked again.
    client: Client,
    body: Value,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_id, act, number, answer, took, body, client: _ } = self;
        write!(f, "{request_id}: {act:?} {number} {body} was told ")?;
        match answer {
            Some(answer) => write!(f, "{} {}", answer.status, answer.text)?,
            None => write!(f, "nothing")?,
        }
        write!(f, " after {took:?}")
    }
}

impl Told {
    pub(crate) fn succeeded(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.status.is_success())
    }

    pub(crate) fn was_refused_with(&self, code: &str) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.json()["code"] == code)
    }

    /// Asks the same again, under the same key.
    pub(crate) async fn again(&self) -> Answer {
        let headers = [("x-request-id", self.request_id.as_str()), ("idempotency-key", self.request_id.as_str())];
        self.client.send(Method::POST, &self.act.path(&self.number), Some(&self.body), &headers).await
    }
}

/// What a client does when it gets no answer, or is asked to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It goes on to the next command.
    OnceEach,
    /// It repeats the command, under its `Idempotency-Key`, until it has its answer.
    UntilAnswered,
}

/// What the clients play with.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(crate) clients: u64,
    pub(crate) tenants: usize,
    pub(crate) numbers: Vec<String>,
    pub(crate) terms: &'static [&'static str],
    pub(crate) manner: Manner,
}

impl Play {
    /// Four clients of three tenants, with leases for months.
    pub(crate) fn quiet(numbers: Vec<String>) -> Self {
        Self { clients: 4, tenants: 3, numbers, terms: &["1m"], manner: Manner::OnceEach }
    }
}

/// Traffic under way.
pub(crate) struct Traffic {
    clients: JoinSet<()>,
    told: Arc<Mutex<Vec<Told>>>,
    stop: CancellationToken,
}

impl Traffic {
    /// Begins, against the replica at this address.
    pub(crate) fn start(app: &TestApp, at: SocketAddr, play: &Play) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for client in 0..play.clients {
            let seat = Seat {
                name: format!("client-{client}"),
                dice: Dice(client),
                tenants: (0..play.tenants).map(|tenant| app.tenant(&format!("tenant-{tenant}")).at(at)).collect(),
                admin: app.admin().at(at),
                play: play.clone(),
                told: Arc::clone(&told),
            };
            clients.spawn(seat.play(stop.clone()));
        }
        Self { clients, told, stop }
    }

    /// Waits until so many more commands have succeeded.
    pub(crate) async fn until_more_succeeded(&self, more: usize) {
        let before = self.count(Told::succeeded);
        until("traffic goes well", async || self.count(Told::succeeded) >= before + more).await;
    }

    /// How many were told such a thing.
    pub(crate) fn count(&self, such: impl Fn(&Told) -> bool) -> usize {
        self.told.lock().unwrap().iter().filter(|told| such(told)).count()
    }

    /// Lets the commands under way end, and gives what was told.
    pub(crate) async fn stop(self) -> Vec<Told> {
        self.stop.cancel();
        let end = tokio::time::timeout(PATIENCE, self.clients.join_all());
        end.await.expect("every command ends");
        Arc::into_inner(self.told).unwrap().into_inner().unwrap()
    }
}

/// One client.
struct Seat {
    name: String,
    dice: Dice,
    tenants: Vec<Client>,
    admin: Client,
    play: Play,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Seat {
    async fn play(mut self, stop: CancellationToken) {
        let mut count = 0;
        while !stop.is_cancelled() {
            count += 1;
            let request_id = format!("{}-{count}", self.name);
            let told = self.command(request_id).await;
            let unanswered = told.answer.as_ref().is_none_or(|answer| answer.status.is_server_error());
            self.told.lock().unwrap().push(told);
            if unanswered {
                // There is nobody there at the moment.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn command(&mut self, request_id: String) -> Told {
        let act = *self.dice.of(&DECK);
        let tenant = self.dice.below(self.tenants.len());
        let number = self.number_for(tenant);
        let client = if act.is_an_admin_s() { &self.admin } else { &self.tenants[tenant] }.clone();
        let body = act.body(self.dice.of::<&str>(self.play.terms));
        let started = Instant::now();
        let answer = match self.play.manner {
            Manner::OnceEach => {
                let headers = [("x-request-id", request_id.as_str())];
                client.try_send(Method::POST, &act.path(&number), Some(&body), &headers).await.ok()
            }
            Manner::UntilAnswered => Some(until_answered(&client, act, &number, &body, &request_id).await),
        };
        Told { request_id, act, number, answer, took: started.elapsed(), client, body }
    }
}

impl Seat {
    /// Mostly one of those that this tenant looks at, so that its commands follow from each other; else any.
    fn number_for(&mut self, tenant: usize) -> String {
        let numbers = &self.play.numbers;
        let share = numbers.len() / self.tenants.len();
        let at = match self.dice.below(4) {
            0 => self.dice.below(numbers.len()),
            _ => tenant * share + self.dice.below(share + SHARED),
        };
        numbers[at % numbers.len()].clone()
    }
}

async fn until_answered(client: &Client, act: Act, number: &str, body: &Value, key: &str) -> Answer {
    let headers = [("x-request-id", key), ("idempotency-key", key)];
    loop {
        let answer = client.try_send(Method::POST, &act.path(number), Some(body), &headers).await;
        match answer {
            Ok(answer) if !answer.status.is_server_error() && answer.json()["code"] != "IDEMPOTENCY_IN_FLIGHT" => {
                return answer;
            }
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Chance that is the same each time (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).unwrap()
    }
}
