//! A server that says everything again: the codec and the compression that the chat server speaks through, with nothing
//! around them, for conformance tests. `cargo run -p wire --example echo_server -- 127.0.0.1:0`
//!
//! Prints one line with its address when it serves.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use wire::deflate::{Agreement, Deflater, Inflater};
use wire::frame::{Decoder, FrameError, Opcode, Received, Role, server_close, server_frame, server_frame_deflated};
use wire::handshake::accept_key;

/// The longest message that is said again.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = serve(&stream) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

/// Reads the request, and answers it.
fn upgrade(stream: &TcpStream, reader: &mut impl io::BufRead) -> io::Result<Option<Agreement>> {
    let (mut key, mut offers) = (String::new(), Vec::new());
    loop {
        let mut line = String::new();
        reader.by_ref().take(8_192).read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "sec-websocket-key" => value.trim().clone_into(&mut key),
                "sec-websocket-extensions" => offers.push(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    let chosen = Agreement::choose(offers.iter().map(String::as_str), &Agreement::FULL);
    let extensions = chosen.as_ref().map(|(_, text)| format!("Sec-WebSocket-Extensions: {text}\r\n"));
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{}Sec-WebSocket-Accept: {}\r\n\r\n",
        extensions.unwrap_or_default(),
        accept_key(&key)
    )?;
    Ok(chosen.map(|(agreed, _)| agreed))
}

fn serve(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let agreed = upgrade(stream, &mut reader)?;
    let mut decoder = Decoder::new(Role::Server, MESSAGE_BYTES_MAX).deflated(agreed.is_some());
    let mut inflater = agreed.map(|agreed| Inflater::new(agreed.from_client));
    let mut deflater = agreed.and_then(|agreed| Deflater::new(agreed.from_server, 1));
    loop {
        let mut bytes = reader.fill_buf()?.to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        reader.consume(bytes.len());
        let mut input = bytes.as_mut_slice();
        loop {
            let said = match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(received)) => answer(&received, inflater.as_mut(), deflater.as_mut()),
                Err(error) => Err(error),
            };
            let mut out = stream;
            match said {
                Ok(Answer::Nothing) => {}
                Ok(Answer::Frame(frame)) => out.write_all(&frame)?,
                Ok(Answer::Last(frame)) => return out.write_all(&frame),
                Err(error) => return out.write_all(&server_close(error.close_code(), "")),
            }
        }
    }
}

enum Answer {
    Nothing,
    Frame(bytes::Bytes),
    Last(bytes::Bytes),
}

fn answer(
    received: &Received<'_>,
    inflater: Option<&mut Inflater>,
    deflater: Option<&mut Deflater>,
) -> Result<Answer, FrameError> {
    Ok(match *received {
        Received::Text(text) => Answer::Frame(server_frame(Opcode::Text, text.as_bytes())),
        Received::Binary(bytes) => Answer::Frame(server_frame(Opcode::Binary, bytes)),
        Received::Ping(payload) => Answer::Frame(server_frame(Opcode::Pong, payload)),
        Received::Pong(_) => Answer::Nothing,
        Received::Close(code, _) => Answer::Last(server_close(code.unwrap_or(wire::close::NO_STATUS), "")),
        Received::Deflated(kind, payload) => {
            let mut said = Vec::new();
            let inflater = inflater.ok_or(FrameError::NotDeflate)?;
            inflater.message(payload, MESSAGE_BYTES_MAX, &mut said)?;
            if kind == Opcode::Text && std::str::from_utf8(&said).is_err() {
                return Err(FrameError::NotUtf8);
            }
            Answer::Frame(match deflater {
                None => server_frame(kind, &said),
                Some(deflater) => {
                    let mut payload = Vec::new();
                    deflater.message(&said, &mut payload);
                    server_frame_deflated(kind, &payload)
                }
            })
        }
    })
}
