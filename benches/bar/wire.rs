//! Calls by a client that costs next to nothing: HTTP/2 written frame by frame (RFC 9113), for one method.
//!
//! h2load is such a client too, but it asks the same question always, and not at set moments; the crate `h2` takes a quarter of a machine
//! of two cores. What goes over the wire is what h2load sends: the token with each call, compressed, as nghttp2 has nobody remember it.
//!
//! What must stay true: an answer counts as good only when its message comes, beginning in one frame, and says so or may say anything,
//! and its stream is not reset. A call begins only while the server's window for the connection has room for its message, which is far
//! less than one stream's, and while it lets in another stream. Answers need no such care: a stream's answer is far less than one window,
//! and a connection's is opened as wide as it goes, which is enough for two gigabytes of answers.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use httlib_hpack::Decoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::caller::{Ask, is_valid, refusal};
use crate::load::{Judged, Outcome, PATIENCE, TICK, as_f64};
use crate::seed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
/// Kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
/// Flags; `ACK` is that of SETTINGS and PING.
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The setting `SETTINGS_MAX_CONCURRENT_STREAMS`.
const STREAMS_MOST: u16 = 0x3;
/// The first window of a connection, in bytes.
const WINDOW_FIRST: u32 = 65_535;
/// From there to the largest.
const WINDOW_MORE: u32 = (1 << 31) - 1 - WINDOW_FIRST;
/// The table that the server's heads are compressed with, in bytes: nobody says otherwise.
const TABLE_BYTES: u32 = 4_096;
/// What the head of a call begins with: `:method` and `:scheme`, of the static table (RFC 7541).
const HEAD: [u8; 2] = [0x83, 0x86];
/// The place in the tables of what the connection was last told to remember, as a whole header.
const REMEMBERED_LAST: u8 = 0xbe;
/// `authorization`, whose value is never remembered.
const AUTHORIZATION: [u8; 2] = [0x1f, 0x08];

/// What a good answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Good {
    /// That the lease is valid, or the first of many.
    Valid,
    /// Anything.
    Any,
}

/// Whom to ask, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) token: &'a str,
    pub(crate) ask: Ask,
    pub(crate) good: Good,
    /// Each call is given up by the server after so many milliseconds, and by the client so long after it was due.
    pub(crate) deadline_ms: Option<u32>,
}

/// When calls begin.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// Whenever one has ended: so many are under way over each connection.
    UnderWay(usize),
    /// At set moments, whatever becomes of the others: so many a second over all connections.
    EachSecond(f64),
}

impl<'a> Wire<'a> {
    /// One pair a call, which is to be valid.
    pub(crate) const fn of_one(server: SocketAddr, connections: usize, token: &'a str) -> Self {
        Self { server, connections, token, ask: Ask::One, good: Good::Valid, deadline_ms: None }
    }

    /// Keeps `under_way` calls going for `span`, with the questions in scattered order.
    pub(crate) async fn closed(
        &self,
        under_way: usize,
        span: Duration,
        questions: &Arc<Vec<Bytes>>,
    ) -> anyhow::Result<Outcome> {
        self.run(Pace::UnderWay(under_way / self.connections), span, questions).await
    }

    /// Begins `rate` calls a second for `span`, however long they take. Latency counts from the moment that a call was due.
    pub(crate) async fn open(&self, rate: f64, span: Duration, questions: &Arc<Vec<Bytes>>) -> anyhow::Result<Outcome> {
        self.run(Pace::EachSecond(rate), span, questions).await
    }

    async fn run(&self, pace: Pace, span: Duration, questions: &Arc<Vec<Bytes>>) -> anyhow::Result<Outcome> {
        let next = Arc::new(AtomicU64::new(0));
        let mut open = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            open.push(Connection::open(self, Arc::clone(questions), Arc::clone(&next)).await?);
        }
        let mut whole = Outcome::new()?;
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for (place, connection) in open.into_iter().enumerate() {
            let schedule = match pace {
                Pace::UnderWay(calls) => Schedule::Closed { calls, until: began + span },
                Pace::EachSecond(rate) => {
                    let every = Duration::from_secs_f64(as_f64(self.connections as u64) / rate);
                    let first = began + Duration::from_secs_f64(as_f64(place as u64) / rate);
                    Schedule::Open { next: first, every, until: began + span }
                }
            };
            asking.spawn(connection.ask(schedule));
        }
        let ended = async {
            while let Some(own) = asking.join_next().await {
                whole.add(&own??);
            }
            anyhow::Ok(())
        };
        timeout(span + PATIENCE, ended).await.context("calls were still under way long after the last had begun")??;
        Ok(whole.finished())
    }
}

/// When one connection's calls begin.
enum Schedule {
    Closed { calls: usize, until: Instant },
    Open { next: Instant, every: Duration, until: Instant },
}

impl Schedule {
    /// When to look at it again, if ever.
    fn tick(&self) -> Option<Instant> {
        match self {
            Self::Open { next, until, .. } if next < until => Some((*next).max(Instant::now() + TICK)),
            Self::Open { .. } | Self::Closed { .. } => None,
        }
    }
}

/// A call under way.
struct Call {
    due: Instant,
    /// What the beginning of its message says.
    is_good: Option<bool>,
    refused: Option<&'static str>,
}

struct Connection {
    stream: TcpStream,
    ask: Ask,
    good: Good,
    /// From the moment that a call is due.
    deadline: Option<Duration>,
    /// Of the next call, and of all after it.
    heads: [Bytes; 2],
    questions: Arc<Vec<Bytes>>,
    next: Arc<AtomicU64>,
    /// The number of a call that was due and could not begin.
    put_off: Option<u64>,
    next_stream: u32,
    /// Calls that are due and have not begun.
    waiting: VecDeque<Instant>,
    under_way: HashMap<u32, Call>,
    /// How many may be under way.
    most: usize,
    /// How many bytes of messages may still be sent.
    window: u64,
    /// Of the heads that the server sends; only who is refused must know why.
    decoder: Option<Decoder<'static>>,
    out: BytesMut,
    outcome: Outcome,
}

impl Connection {
    async fn open(wire: &Wire<'_>, questions: Arc<Vec<Bytes>>, next: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(wire.server).await.context("the measured server does not listen")?;
        stream.set_nodelay(true)?;
        let mut out = BytesMut::from(PREFACE);
        frame(&mut out, SETTINGS, 0, 0, &[]);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW_MORE.to_be_bytes());
        Ok(Self {
            stream,
            ask: wire.ask,
            good: wire.good,
            deadline: wire.deadline_ms.map(|length| Duration::from_millis(length.into())),
            heads: heads(wire)?,
            questions,
            next,
            put_off: None,
            next_stream: 1,
            waiting: VecDeque::new(),
            under_way: HashMap::new(),
            most: usize::MAX,
            window: WINDOW_FIRST.into(),
            decoder: wire.deadline_ms.map(|_| Decoder::with_dynamic_size(TABLE_BYTES)),
            out,
            outcome: Outcome::new()?,
        })
    }

    /// Makes the calls of a schedule, and waits for the last.
    async fn ask(mut self, mut schedule: Schedule) -> anyhow::Result<Outcome> {
        if let Schedule::Closed { calls, .. } = schedule {
            self.waiting.extend(std::iter::repeat_n(Instant::now(), calls));
        }
        let mut read = BytesMut::with_capacity(1 << 16);
        loop {
            if let Schedule::Open { next, every, until } = &mut schedule {
                let now = Instant::now();
                while *next <= now && *next < *until {
                    self.waiting.push_back(*next);
                    *next += *every;
                }
            }
            self.begin_those_that_may()?;
            let tick = schedule.tick();
            if self.waiting.is_empty() && self.under_way.is_empty() && self.out.is_empty() && tick.is_none() {
                return Ok(self.outcome);
            }
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                got = reader.read_buf(&mut read) => {
                    anyhow::ensure!(got? > 0, "the server has closed a connection");
                    while let Some((kind, flags, stream, payload)) = take_frame(&mut read) {
                        let ended = self.heed(kind, flags, stream, &payload)?;
                        if let Schedule::Closed { until, .. } = schedule && ended && Instant::now() < until {
                            self.waiting.push_back(Instant::now());
                        }
                    }
                }
                sent = writer.write_buf(&mut self.out), if !self.out.is_empty() => {
                    sent?;
                }
                () = sleep_until(tick.unwrap_or_else(Instant::now).into()), if tick.is_some() => {}
            }
        }
    }

    /// Begins what is due, as far as the server lets it.
    fn begin_those_that_may(&mut self) -> anyhow::Result<()> {
        while let Some(due) = self.waiting.front().copied().filter(|_| self.under_way.len() < self.most) {
            let count = u64::try_from(self.questions.len())?;
            if self.is_late(due) {
                self.waiting.pop_front();
                self.outcome.count(Ok(Judged::Refused("not begun in time".to_owned())), due.elapsed());
                continue;
            }
            let number = self.put_off.take().unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
            let asked = usize::try_from(seed::scattered(number, count))?;
            let question = self.questions.get(asked).context("a question beyond the last")?;
            let Some(left) = self.window.checked_sub(question.len() as u64) else {
                self.put_off = Some(number);
                return Ok(());
            };
            self.window = left;
            self.waiting.pop_front();
            let stream = self.next_stream;
            frame(&mut self.out, HEADERS, END_HEADERS, stream, &self.heads[0]);
            frame(&mut self.out, DATA, END_STREAM, stream, question);
            self.heads[0] = self.heads[1].clone();
            self.next_stream += 2;
            self.under_way.insert(stream, Call { due, is_good: None, refused: None });
        }
        Ok(())
    }

    /// Whether the frame ended a call.
    fn heed(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> anyhow::Result<bool> {
        let is_whole = kind != HEADERS || flags & (END_HEADERS | PADDED | PRIORITY) == END_HEADERS;
        anyhow::ensure!(is_whole && kind != CONTINUATION, "a head comes in a way that is not looked for");
        match kind {
            SETTINGS if flags & ACK == 0 => {
                self.settle(payload);
                frame(&mut self.out, SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            GOAWAY => anyhow::bail!("the server wants a connection closed"),
            WINDOW_UPDATE if stream == 0 => {
                self.window += u64::from(payload.get(..4).map_or(0, |mut more| more.get_u32()));
            }
            DATA | HEADERS | RST_STREAM => {
                let refused = if kind == HEADERS { self.refused(payload)? } else { None };
                // A stream that has ended may be reset after that.
                let Some(call) = self.under_way.get_mut(&stream) else { return Ok(false) };
                call.refused = call.refused.or(refused);
                if kind == DATA && !payload.is_empty() {
                    call.is_good.get_or_insert_with(|| self.good == Good::Any || is_valid(self.ask, payload));
                }
                if kind == RST_STREAM || flags & END_STREAM != 0 {
                    let Some(call) = self.under_way.remove(&stream) else { return Ok(false) };
                    let judged = match (kind, call.refused, call.is_good) {
                        (RST_STREAM, ..) => Judged::Refused("reset".to_owned()),
                        (_, Some(why), _) => Judged::Refused(why.to_owned()),
                        (_, None, Some(true)) if self.is_late(call.due) => Judged::Refused("late".to_owned()),
                        (_, None, Some(true)) => Judged::Good,
                        (_, None, _) => Judged::Refused("not valid".to_owned()),
                    };
                    self.outcome.count(Ok(judged), call.due.elapsed());
                    return Ok(true);
                }
            }
            _ => {}
        }
        Ok(false)
    }

    /// Whether nobody waits for that call any more.
    fn is_late(&self, due: Instant) -> bool {
        self.deadline.is_some_and(|deadline| due.elapsed() > deadline)
    }

    /// Takes the server's settings: pairs of a name and a value.
    fn settle(&mut self, settings: &[u8]) {
        for mut setting in settings.chunks_exact(6) {
            if setting.get_u16() == STREAMS_MOST {
                self.most = usize::try_from(setting.get_u32()).unwrap_or(usize::MAX);
            }
        }
    }

    /// Why a call is refused, if the head says that. All are read in their order: each may tell what the next leave out.
    fn refused(&mut self, head: &[u8]) -> anyhow::Result<Option<&'static str>> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let mut headers = Vec::new();
        decoder.decode(&mut head.to_vec(), &mut headers).ok().context("a head that cannot be read")?;
        let status = headers.iter().find(|(name, ..)| name == b"grpc-status");
        Ok(status.and_then(|(_, status, _)| refusal(status)))
    }
}

fn frame(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    // Nothing here is longer than a frame may be.
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
    out.put_slice(payload);
}

/// The next whole frame: kind, flags, stream, payload.
fn take_frame(read: &mut BytesMut) -> Option<(u8, u8, u32, BytesMut)> {
    let mut head = read.get(..FRAME_HEAD_BYTES)?;
    let length = usize::try_from(head.get_uint(3)).ok()?;
    let (kind, flags, stream) = (head.get_u8(), head.get_u8(), head.get_u32());
    if read.len() < FRAME_HEAD_BYTES + length {
        return None;
    }
    read.advance(FRAME_HEAD_BYTES);
    Some((kind, flags, stream, read.split_to(length)))
}

/// The head of a connection's first call, most parts of which are to be remembered in this order (RFC 7541, section 6.2.1), and that of
/// the others.
fn heads(wire: &Wire<'_>) -> anyhow::Result<[Bytes; 2]> {
    let (authority, deadline) = (wire.server.to_string(), wire.deadline_ms.map(|length| format!("{length}m")));
    let mut remembered = vec![
        (Name::Static(4), wire.ask.path()),
        (Name::Static(1), &authority),
        (Name::Static(31), "application/grpc"),
        (Name::New("te"), "trailers"),
    ];
    remembered.extend(deadline.as_deref().map(|deadline| (Name::New("grpc-timeout"), deadline)));
    let (mut first, mut again) = (BytesMut::from(&HEAD[..]), BytesMut::from(&HEAD[..]));
    for (place, (name, value)) in remembered.iter().enumerate() {
        match name {
            Name::Static(index) => first.put_u8(0x40 | index),
            Name::New(name) => {
                first.put_u8(0x40);
                text(&mut first, 0, name.as_bytes());
            }
        }
        text(&mut first, 0, value.as_bytes());
        // The last is the first of the table.
        again.put_u8(REMEMBERED_LAST + u8::try_from(remembered.len() - 1 - place)?);
    }
    let mut compressed = Vec::new();
    httlib_huffman::encode(format!("Bearer {}", wire.token).as_bytes(), &mut compressed).context("no HPACK code")?;
    for head in [&mut first, &mut again] {
        head.put_slice(&AUTHORIZATION);
        text(head, 0x80, &compressed);
    }
    Ok([first.freeze(), again.freeze()])
}

/// A header's name: its place in the static table, or itself.
enum Name {
    Static(u8),
    New(&'static str),
}

/// A text with its length (RFC 7541, sections 5.1 and 5.2); `code` has the bit that says whether it is compressed.
fn text(head: &mut BytesMut, code: u8, text: &[u8]) {
    const PREFIX_MOST: u8 = 0x7f;
    let mut left = text.len();
    if let Some(short) = u8::try_from(left).ok().filter(|length| *length < PREFIX_MOST) {
        head.put_u8(code | short);
    } else {
        head.put_u8(code | PREFIX_MOST);
        left -= usize::from(PREFIX_MOST);
        while left >= 0x80 {
            head.put_uint((left % 0x80 + 0x80) as u64, 1);
            left /= 0x80;
        }
        head.put_uint(left as u64, 1);
    }
    head.put_slice(text);
}
