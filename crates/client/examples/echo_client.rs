//! A client that says everything again, on the WebSocket of the load generator's users, for conformance tests: it asks
//! a test server how many cases there are, and goes through all of them.
//! `cargo run -p client --example echo_client -- ws://127.0.0.1:9001`, and `alone` behind it for a client that compresses
//! every message for itself.

use std::error::Error;
use std::time::Duration;

use client::Endpoint;
use client::lean::{LeanSocket, Message, Opening, Options};
use measure::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;
use wire::deflate::{Agreement, Deflater, Direction, Inflater};
use wire::frame::{FrameError, Opcode};

/// The longest message that is said again.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// A case that says nothing for so long is over.
const SILENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let url = std::env::args().nth(1).ok_or("usage: echo_client ws://HOST:PORT")?;
    let endpoint = Endpoint::parse(&url)?;
    let from_client = match std::env::args().nth(2).as_deref() {
        None => Direction::FULL,
        Some("alone") => Direction::ALONE,
        Some(other) => return Err(format!("{other:?} is not \"alone\"").into()),
    };
    let offer = Agreement { from_client, ..Agreement::FULL };
    let mut cases = String::new();
    converse(&endpoint, offer, "/getCaseCount", |_, text| cases = String::from_utf8_lossy(text).into_owned()).await?;
    let cases: u32 = cases.trim().parse()?;
    for case in 1..=cases {
        let path = format!("/runCase?case={case}&agent=throng");
        converse(&endpoint, offer, &path, |_, _| {}).await?;
    }
    converse(&endpoint, offer, "/updateReports?agent=throng", |_, _| {}).await?;
    println!("{cases} cases");
    Ok(())
}

/// One connection, until it ends.
async fn converse(
    endpoint: &Endpoint,
    offer: Agreement,
    path: &str,
    mut hear: impl FnMut(Opcode, &[u8]),
) -> Outcome<()> {
    let options = Options { offer: Some(offer), message_bytes_max: MESSAGE_BYTES_MAX, ..Options::default() };
    let deadline = Instant::now() + Duration::from_secs(10);
    let opening = Opening::connect(endpoint, path, options, &Clock::System, deadline).await?;
    let mut inflater = opening.agreed.map(|agreed| Inflater::new(agreed.from_server));
    let mut deflater = opening.agreed.and_then(|agreed| Deflater::new(agreed.from_client, 1));
    let (mut socket, mut early) = opening.open()?;
    let mut buffer = vec![0; 64 << 10];
    let mut heard = Vec::new();
    let mut take = |message: Message<'_>, heard: &mut Vec<(Opcode, bool, Vec<u8>)>| {
        let (kind, deflated, said) = match message {
            Message::Plain(kind, bytes) => (kind, false, bytes.to_vec()),
            Message::Deflated(kind, payload) => {
                let mut said = Vec::new();
                let inflater = inflater.as_mut().ok_or(FrameError::NotDeflate)?;
                inflater.message(payload, MESSAGE_BYTES_MAX, &mut said)?;
                (kind, true, said)
            }
        };
        if kind == Opcode::Text && std::str::from_utf8(&said).is_err() {
            return Err(FrameError::NotUtf8);
        }
        hear(kind, &said);
        heard.push((kind, deflated, said));
        Ok(())
    };
    let mut received = socket.take(&mut early, &mut |message| take(message, &mut heard));
    loop {
        let mut over = received.is_err();
        for (kind, deflated, said) in heard.drain(..) {
            over |= repeat(&mut socket, kind, &said, deflater.as_mut().filter(|_| deflated)).is_err();
        }
        while socket.is_waiting() && !over {
            over |= !wait(&socket, PollFlags::OUT)? || socket.flush().is_err();
        }
        if over || !wait(&socket, PollFlags::IN)? {
            return Ok(());
        }
        received = socket.receive(&mut buffer, |message| take(message, &mut heard));
    }
}

fn repeat(
    socket: &mut LeanSocket,
    kind: Opcode,
    said: &[u8],
    deflater: Option<&mut Deflater>,
) -> Result<(), client::Closed> {
    let Some(deflater) = deflater else { return socket.send(kind, said) };
    let mut payload = Vec::new();
    deflater.message(said, &mut payload);
    socket.send_deflated(kind, &payload)
}

/// Waits until the file is ready; false when it takes too long.
fn wait(socket: &LeanSocket, flags: PollFlags) -> Outcome<bool> {
    Ok(poll(&mut [PollFd::new(socket, flags)], Some(&SILENCE))? > 0)
}
