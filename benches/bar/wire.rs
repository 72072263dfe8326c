//! Calls under way at all times by a client that costs next to nothing: HTTP/2 written frame by frame (RFC 9113), for one method.
//!
//! h2load is such a client too, but it asks the same question always; the crate `h2` takes a quarter of a machine of two cores.
//! What goes over the wire is what h2load sends: the token with each call, compressed, as nghttp2 has nobody remember it.
//!
//! What must stay true: an answer counts as good only when its message comes, in one frame, and says so or may say anything, and its stream
//! is not reset.
//! No window needs care: a stream's answer is far less than one, and a connection's is opened as wide as it goes, which is enough for
//! two gigabytes of answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::caller::{Ask, is_valid};
use crate::load::{Judged, Outcome};
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
/// Flags; `ACK` is that of SETTINGS and PING.
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// From the first window of a connection to the largest.
const WINDOW_MORE: u32 = (1 << 31) - 1 - 65_535;
/// What the head of a call begins with: `:method` and `:scheme`, of the static table (RFC 7541).
const HEAD: [u8; 2] = [0x83, 0x86];
/// What of it the connection remembers from its first call on, the first of it first: places in the dynamic table.
const REMEMBERED: [u8; 4] = [0xc1, 0xc0, 0xbf, 0xbe];
/// `authorization`, whose value is never remembered.
const AUTHORIZATION: [u8; 2] = [0x1f, 0x08];

/// Whom to ask, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) token: &'a str,
    /// Whether only yes is a good answer, and not any.
    pub(crate) valid_only: bool,
}

impl Wire<'_> {
    /// Keeps `under_way` calls of `ValidateLease` going for `span`, with the questions in scattered order.
    pub(crate) async fn closed(
        &self,
        under_way: usize,
        span: Duration,
        questions: &Arc<Vec<Bytes>>,
    ) -> anyhow::Result<Outcome> {
        let next = Arc::new(AtomicU64::new(0));
        let mut open = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            open.push(Connection::open(self, Arc::clone(questions), Arc::clone(&next)).await?);
        }
        let mut whole = Outcome::new()?;
        let until = Instant::now() + span;
        let mut asking = JoinSet::new();
        for connection in open {
            asking.spawn(connection.ask(under_way / self.connections, until));
        }
        while let Some(own) = asking.join_next().await {
            whole.add(&own??);
        }
        Ok(whole.finished())
    }
}

/// A call under way.
struct Call {
    stream: u32,
    began: Instant,
    is_good: bool,
}

struct Connection {
    stream: TcpStream,
    /// Of the next call, and of all after it.
    heads: [Bytes; 2],
    questions: Arc<Vec<Bytes>>,
    next: Arc<AtomicU64>,
    next_stream: u32,
    under_way: Vec<Call>,
    out: BytesMut,
    valid_only: bool,
    outcome: Outcome,
}

impl Connection {
    async fn open(wire: &Wire<'_>, questions: Arc<Vec<Bytes>>, next: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(wire.server).await.context("the measured server does not listen")?;
        stream.set_nodelay(true)?;
        let mut out = BytesMut::from(PREFACE);
        frame(&mut out, SETTINGS, 0, 0, &[]);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW_MORE.to_be_bytes());
        let heads = heads(&wire.server.to_string(), wire.token)?;
        let (under_way, outcome) = (Vec::new(), Outcome::new()?);
        let valid_only = wire.valid_only;
        Ok(Self { stream, heads, questions, next, next_stream: 1, under_way, out, valid_only, outcome })
    }

    /// Keeps `calls` going until then, and waits for the last.
    async fn ask(mut self, calls: usize, until: Instant) -> anyhow::Result<Outcome> {
        for _ in 0..calls {
            self.begin()?;
        }
        let mut read = BytesMut::with_capacity(1 << 16);
        while !self.under_way.is_empty() {
            self.stream.write_all_buf(&mut self.out).await?;
            anyhow::ensure!(self.stream.read_buf(&mut read).await? > 0, "the server has closed a connection");
            while let Some((kind, flags, stream, payload)) = take_frame(&mut read) {
                let ended = self.heed(kind, flags, stream, &payload)?;
                if ended && Instant::now() < until {
                    self.begin()?;
                }
            }
        }
        Ok(self.outcome)
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let asked = seed::scattered(number, u64::try_from(self.questions.len())?);
        let question = self.questions.get(usize::try_from(asked)?).context("a question beyond the last")?;
        let stream = self.next_stream;
        frame(&mut self.out, HEADERS, END_HEADERS, stream, &self.heads[0]);
        frame(&mut self.out, DATA, END_STREAM, stream, question);
        self.heads[0] = self.heads[1].clone();
        self.next_stream += 2;
        self.under_way.push(Call { stream, began: Instant::now(), is_good: false });
        Ok(())
    }

    /// Whether the frame ended a call.
    fn heed(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> anyhow::Result<bool> {
        match kind {
            SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            GOAWAY => anyhow::bail!("the server wants a connection closed"),
            DATA | HEADERS | RST_STREAM => {
                // A stream that has ended may be reset after that.
                let place = self.under_way.iter().position(|call| call.stream == stream);
                let Some(place) = place else { return Ok(false) };
                self.under_way[place].is_good |=
                    kind == DATA && if self.valid_only { is_valid(Ask::One, payload) } else { !payload.is_empty() };
                if kind == RST_STREAM || flags & END_STREAM != 0 {
                    let call = self.under_way.swap_remove(place);
                    let judged = match (kind, call.is_good) {
                        (RST_STREAM, _) => Judged::Refused("reset".to_owned()),
                        (_, true) => Judged::Good,
                        (_, false) => Judged::Refused("not valid".to_owned()),
                    };
                    self.outcome.count(Ok(judged), call.began.elapsed());
                    return Ok(true);
                }
            }
            _ => {}
        }
        Ok(false)
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
fn heads(authority: &str, token: &str) -> anyhow::Result<[Bytes; 2]> {
    let mut first = BytesMut::from(&HEAD[..]);
    for (name, value) in [
        (Name::Static(4), Ask::One.path()),
        (Name::Static(1), authority),
        (Name::Static(31), "application/grpc"),
        (Name::New("te"), "trailers"),
    ] {
        match name {
            Name::Static(index) => first.put_u8(0x40 | index),
            Name::New(name) => {
                first.put_u8(0x40);
                text(&mut first, 0, name.as_bytes());
            }
        }
        text(&mut first, 0, value.as_bytes());
    }
    let mut compressed = Vec::new();
    httlib_huffman::encode(format!("Bearer {token}").as_bytes(), &mut compressed).context("no HPACK code")?;
    let mut again = BytesMut::from(&HEAD[..]);
    again.put_slice(&REMEMBERED);
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
