//! What both ends agree on in `Sec-WebSocket-Extensions` (RFC 7692, sections 5 and 7.1).

use std::fmt::Write as _;

/// The extension's name.
pub const NAME: &str = "permessage-deflate";

/// How the messages of one end are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Direction {
    /// Whether a message may refer to those before it.
    pub context_takeover: bool,
    /// How far back, as a power of two: 8 to 15.
    pub window_bits: u8,
}

impl Direction {
    /// 32 KiB, the largest window.
    pub const WINDOW_BITS_MAX: u8 = 15;
    /// The smallest that the RFC knows, 256 bytes.
    pub const WINDOW_BITS_MIN: u8 = 8;
    /// All that can be had.
    pub const FULL: Self = Self { context_takeover: true, window_bits: Self::WINDOW_BITS_MAX };
    /// Every message for itself.
    pub const ALONE: Self = Self { context_takeover: false, window_bits: Self::WINDOW_BITS_MAX };

    /// What two ends allow together.
    fn and(self, other: Self) -> Self {
        Self {
            context_takeover: self.context_takeover && other.context_takeover,
            window_bits: self.window_bits.min(other.window_bits),
        }
    }
}

/// What both ends agree on; before they do, what one of them allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Agreement {
    /// The server's messages.
    pub from_server: Direction,
    /// The client's messages.
    pub from_client: Direction,
}

/// Why a client must not go on with what a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer's Sec-WebSocket-Extensions can't be agreed to: {0}")]
pub struct NotAgreed(&'static str);

impl Agreement {
    /// All that can be had, both ways.
    pub const FULL: Self = Self { from_server: Direction::FULL, from_client: Direction::FULL };

    /// A server's choice among the offers of a request's `Sec-WebSocket-Extensions` headers: the first that it can
    /// serve, within what it `allows`, and the answer's header. `None`: no compression, no such header.
    pub fn choose<'a>(headers: impl IntoIterator<Item = &'a str>, allows: &Self) -> Option<(Self, String)> {
        let offers = headers.into_iter().flat_map(|header| Entries(Some(header)));
        offers.take_while(Option::is_some).flatten().find_map(|offer| Parameters::read(&offer)?.answer(allows))
    }

    /// A client's offer, as a header's value, of what it `self` allows.
    pub fn offer(&self) -> String {
        let mut text = NAME.to_owned();
        if !self.from_server.context_takeover {
            text += "; server_no_context_takeover";
        }
        if !self.from_client.context_takeover {
            text += "; client_no_context_takeover";
        }
        put_bits(&mut text, "server_max_window_bits", self.from_server.window_bits);
        match self.from_client.window_bits {
            Direction::WINDOW_BITS_MAX => text += "; client_max_window_bits",
            less => put_bits(&mut text, "client_max_window_bits", less),
        }
        text
    }

    /// What a client that offered `self` has agreed to, by the answer's headers. `None`: no compression.
    ///
    /// # Errors
    /// When the answer has what was not offered, lacks what was asked for, or can't be read: the connection must fail.
    pub fn agree<'a>(&self, headers: impl IntoIterator<Item = &'a str>) -> Result<Option<Self>, NotAgreed> {
        let mut agreed = None;
        for entry in headers.into_iter().flat_map(|header| Entries(Some(header))) {
            let entry = entry.ok_or(NotAgreed("it can't be read"))?;
            if entry.name != NAME {
                return Err(NotAgreed("it names an extension that was not offered"));
            }
            if agreed.is_some() {
                return Err(NotAgreed("it names the extension twice"));
            }
            let answer = Parameters::read(&entry).ok_or(NotAgreed("a parameter is unknown, double or out of range"))?;
            agreed = Some(answer.agreed(self)?);
        }
        Ok(agreed)
    }
}

fn put_bits(text: &mut String, name: &str, bits: u8) {
    if bits < Direction::WINDOW_BITS_MAX {
        write!(text, "; {name}={bits}").expect("a string takes everything");
    }
}

/// The parameters of an offer or answer.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Offers may name it without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Reads them strictly: `None` for another extension, and for parameters that are unknown, double, or have a value
    /// that they may not have.
    fn read(entry: &Entry<'_>) -> Option<Self> {
        let mut read = Self::default();
        if entry.name != NAME {
            return None;
        }
        for (name, value) in &entry.parameters {
            let double = match (*name, value.as_deref()) {
                ("server_no_context_takeover", None) => std::mem::replace(&mut read.server_no_context_takeover, true),
                ("client_no_context_takeover", None) => std::mem::replace(&mut read.client_no_context_takeover, true),
                ("server_max_window_bits", Some(value)) => {
                    read.server_max_window_bits.replace(window_bits(value)?).is_some()
                }
                ("client_max_window_bits", None) => read.client_max_window_bits.replace(None).is_some(),
                ("client_max_window_bits", Some(value)) => {
                    read.client_max_window_bits.replace(Some(window_bits(value)?)).is_some()
                }
                _ => return None,
            };
            if double {
                return None;
            }
        }
        Some(read)
    }

    /// A server's answer to this offer.
    fn answer(self, allows: &Agreement) -> Option<(Agreement, String)> {
        let server = Direction {
            context_takeover: !self.server_no_context_takeover,
            window_bits: self.server_max_window_bits.unwrap_or(Direction::WINDOW_BITS_MAX),
        };
        if server.window_bits < super::WINDOW_BITS_MIN {
            // zlib has no window of 256 bytes.
            return None;
        }
        let client = Direction {
            context_takeover: !self.client_no_context_takeover,
            window_bits: self.client_max_window_bits.flatten().unwrap_or(Direction::WINDOW_BITS_MAX),
        };
        let mut agreed =
            Agreement { from_server: allows.from_server.and(server), from_client: allows.from_client.and(client) };
        let mut text = NAME.to_owned();
        if !agreed.from_server.context_takeover {
            text += "; server_no_context_takeover";
        }
        if !agreed.from_client.context_takeover {
            text += "; client_no_context_takeover";
        }
        put_bits(&mut text, "server_max_window_bits", agreed.from_server.window_bits);
        if self.client_max_window_bits.is_some() {
            put_bits(&mut text, "client_max_window_bits", agreed.from_client.window_bits);
        } else {
            // Who doesn't name it can't be told to.
            agreed.from_client.window_bits = Direction::WINDOW_BITS_MAX;
        }
        Some((agreed, text))
    }

    /// What a client has agreed to, that offered `offered` and got this answer.
    fn agreed(self, offered: &Agreement) -> Result<Agreement, NotAgreed> {
        let answered = Agreement {
            from_server: Direction {
                context_takeover: !self.server_no_context_takeover,
                window_bits: self.server_max_window_bits.unwrap_or(Direction::WINDOW_BITS_MAX),
            },
            from_client: Direction {
                context_takeover: !self.client_no_context_takeover,
                window_bits: match self.client_max_window_bits {
                    None => Direction::WINDOW_BITS_MAX,
                    Some(Some(bits)) => bits,
                    Some(None) => return Err(NotAgreed("client_max_window_bits has no value")),
                },
            },
        };
        if !offered.from_server.context_takeover && answered.from_server.context_takeover {
            return Err(NotAgreed("server_no_context_takeover was asked for and is not there"));
        }
        if answered.from_server.window_bits > offered.from_server.window_bits {
            return Err(NotAgreed("server_max_window_bits is larger than was asked for"));
        }
        if self.client_max_window_bits.is_some() && answered.from_client.window_bits > offered.from_client.window_bits {
            return Err(NotAgreed("client_max_window_bits is larger than was offered"));
        }
        let from_client = offered.from_client.and(answered.from_client);
        Ok(Agreement { from_client, ..answered })
    }
}

/// 8 to 15, without leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    let bits = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0'))?;
    (Direction::WINDOW_BITS_MIN..=Direction::WINDOW_BITS_MAX).contains(&bits).then_some(bits)
}

/// One extension of a header, and its parameters.
#[derive(Debug)]
struct Entry<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<String>)>,
}

/// Reads a header's extensions (RFC 6455, section 9.1); `None` where it breaks the grammar, which ends it.
struct Entries<'a>(Option<&'a str>);

impl<'a> Iterator for Entries<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.take()?;
        let read = read_entry(text);
        if let Some((_, rest)) = &read {
            self.0 = *rest;
        }
        Some(read.map(|(entry, _)| entry))
    }
}

/// Reads one extension, and says what follows its comma.
fn read_entry(text: &str) -> Option<(Entry<'_>, Option<&str>)> {
    let (name, mut rest) = token(text)?;
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.chars().next() {
            None => return Some((Entry { name, parameters }, None)),
            Some(',') => return Some((Entry { name, parameters }, Some(&rest[1..]))),
            Some(';') => {}
            Some(_) => return None,
        }
        let (name, after) = token(&rest[1..])?;
        rest = after;
        let after = rest.trim_start_matches([' ', '\t']);
        let value = match after.strip_prefix('=') {
            None => None,
            Some(after) => {
                let (value, after) = value(after)?;
                rest = after;
                Some(value)
            }
        };
        parameters.push((name, value));
    }
}

/// A token, after white space.
fn token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token, or a quoted one.
fn value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !escaped => return (!value.is_empty()).then(|| (value, &quoted[at + 1..])),
            '\\' if !escaped => escaped = true,
            // What is quoted must be a token all the same.
            c if is_token(c) => {
                value.push(c);
                escaped = false;
            }
            _ => return None,
        }
    }
    None
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests;
