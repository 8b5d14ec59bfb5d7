//! One WebSocket: keep-alives in, and what waits to be written out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::event::kind;
use wire::frame::{Decoder, Opcode, Received, Role, server_close, server_frame, server_json};
use wire::{close, limits};

use crate::outlet::Outlet;
use crate::server::Shared;

/// A client says something every 25 s; one that is silent for longer than this is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that are read at once.
const CHUNK: usize = 4 << 10;

/// The life of a connection; `early` came together with its handshake.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, early: Vec<u8>, user: String) {
    let stream = Arc::new(stream);
    // From here on the system is known to take bytes, so that the first attempt from another thread succeeds.
    if stream.writable().await.is_err() {
        return;
    }
    let outlet =
        Arc::new(Outlet::new(Arc::clone(&stream), user.clone(), Arc::clone(&shared.ledger), shared.clock.clone()));
    let number = shared.hub.join(Arc::clone(&outlet));
    shared.ledger.connected(&user);
    let id = format!("c-{number}");
    let hello = json!({"type": kind::HEALTH_CHECK, "connection_id": id, "created_at": shared.date(), "cid": "*",
        "me": {"id": user, "online": true}});
    if let Ok(frame) = server_json(&hello) {
        outlet.say(frame);
        tokio::select! {
            () = listen(&shared, &stream, &outlet, early, &id) => {}
            () = shared.end.cancelled() => outlet.say(server_close(close::GOING_AWAY, "the test target ends")),
        }
    }
    shared.hub.part(number);
    outlet.shut();
}

async fn listen(shared: &Shared, stream: &TcpStream, outlet: &Outlet, early: Vec<u8>, id: &str) {
    let mut decoder = Decoder::new(Role::Server, limits::CLIENT_FRAME);
    let mut chunk = early;
    loop {
        if !hear(shared, &mut decoder, &mut chunk, outlet, id) || outlet.is_shut() {
            return;
        }
        chunk.resize(CHUNK, 0);
        let read = tokio::select! {
            read = read(stream, &mut chunk) => read,
            () = outlet.stuck.notified() => Some(0),
            ready = stream.writable(), if outlet.is_waiting() => {
                if ready.is_ok() {
                    outlet.go_on();
                }
                Some(0)
            }
        };
        let Some(n) = read else { return };
        chunk.truncate(n);
    }
}

/// Reads some bytes; `None` at the end.
async fn read(stream: &TcpStream, chunk: &mut [u8]) -> Option<usize> {
    loop {
        timeout(SILENCE, stream.readable()).await.ok()?.ok()?;
        match stream.try_read(chunk) {
            Ok(0) => return None,
            Ok(n) => return Some(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Answers what a client says; false when the connection is over.
fn hear(shared: &Shared, decoder: &mut Decoder, chunk: &mut [u8], outlet: &Outlet, id: &str) -> bool {
    let mut rest = chunk;
    loop {
        match decoder.next(&mut rest) {
            Ok(None) => return true,
            Ok(Some(Received::Text(_))) => {
                let alive =
                    json!({"type": kind::HEALTH_CHECK, "connection_id": id, "created_at": shared.date(), "cid": "*"});
                if let Ok(frame) = server_json(&alive) {
                    outlet.say(frame);
                }
            }
            Ok(Some(Received::Ping(payload))) => outlet.say(server_frame(Opcode::Pong, payload)),
            Ok(Some(Received::Binary(_) | Received::Deflated(..) | Received::Pong(_))) => {}
            Ok(Some(Received::Close(code, _))) => {
                outlet.say(server_close(code.unwrap_or(close::NORMAL), ""));
                return false;
            }
            Err(error) => {
                outlet.say(server_close(error.close_code(), &error.to_string()));
                return false;
            }
        }
    }
}
