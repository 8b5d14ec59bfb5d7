//! A run's journal: everything that came in, in the order in which it came, before it was acknowledged.
//!
//! One append-only file. A record is its length and its CRC-32 (four bytes each, little-endian), then the protobuf. A
//! record reaches the operating system before it is acknowledged, so that a killed data plane has lost nothing; it is
//! not forced to the disk one by one, so a host that loses power may lose the last ones. A torn record at the end is
//! cut off when the journal is opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::telemetry::{CloseRequest, Goodbye, NoteRequest, OpenRequest, SealedInterval, SourceHello};

/// The journal's name in a run's directory.
pub(crate) const FILE: &str = "intervals.journal";

const HEADER_BYTES: usize = 8;

/// Something that came in.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Event {
    /// The run was opened.
    #[prost(message, tag = "1")]
    Open(OpenRequest),
    /// A source named itself.
    #[prost(message, tag = "2")]
    Hello(SourceHello),
    /// An interval; its source is always named.
    #[prost(message, tag = "3")]
    Interval(SealedInterval),
    /// A source's account; the source is always named.
    #[prost(message, tag = "4")]
    Goodbye(Goodbye),
    /// Something for the report's timeline.
    #[prost(message, tag = "5")]
    Note(NoteRequest),
    /// The run was closed.
    #[prost(message, tag = "6")]
    Closed(CloseRequest),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(oneof = "Event", tags = "1, 2, 3, 4, 5, 6")]
    event: Option<Event>,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Journal {
    /// Starts an empty journal at `path`; one that is there is emptied.
    ///
    /// # Errors
    /// When the file can't be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        Ok(Self { file, path: path.to_owned(), length: 0 })
    }

    /// Reads the journal at `path`, hands each event on, cuts off what is torn, and goes on behind the last whole
    /// record.
    ///
    /// # Errors
    /// When the file can't be read or cut.
    pub(crate) fn reopen(path: &Path, each: impl FnMut(Event)) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = replay(&file, each)?;
        let torn = file.metadata()?.len() - length;
        if torn > 0 {
            tracing::warn!(journal = %path.display(), bytes = torn, "cut off a torn record at the journal's end");
            file.set_len(length)?;
        }
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, path: path.to_owned(), length })
    }

    /// Appends an event and hands it to the operating system. What could not be written whole is taken back, so that
    /// the event can be tried again.
    ///
    /// # Errors
    /// When it can't be written, as on a full disk.
    pub(crate) fn append(&mut self, event: Event) -> io::Result<()> {
        let body = Record { event: Some(event) }.encode_to_vec();
        let length = u32::try_from(body.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut record = Vec::with_capacity(HEADER_BYTES + body.len());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&crc32(&body).to_le_bytes());
        record.extend_from_slice(&body);
        if let Err(e) = self.file.write_all(&record) {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(e);
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the journal at `path` and hands each event on; returns how many bytes at its end are torn. Changes nothing.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn read(path: &Path, each: impl FnMut(Event)) -> io::Result<u64> {
    let file = File::open(path)?;
    let whole = replay(&file, each)?;
    Ok(file.metadata()?.len().saturating_sub(whole))
}

/// Reads whole records until the end or the first that is torn; returns how many bytes were whole.
fn replay(file: &File, mut each: impl FnMut(Event)) -> io::Result<u64> {
    let (size, mut whole) = (file.metadata()?.len(), 0_u64);
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut header, mut body) = ([0; HEADER_BYTES], Vec::new());
    loop {
        let left = size - whole;
        if left < HEADER_BYTES as u64 {
            return Ok(whole);
        }
        reader.read_exact(&mut header)?;
        let [a, b, c, d, e, f, g, h] = header;
        let (length, checksum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if u64::from(length) > left - HEADER_BYTES as u64 {
            return Ok(whole);
        }
        body.resize(length as usize, 0);
        reader.read_exact(&mut body)?;
        let event = (crc32(&body) == checksum).then(|| Record::decode(&*body).ok()?.event).flatten();
        let Some(event) = event else { return Ok(whole) };
        each(event);
        whole += HEADER_BYTES as u64 + u64::from(length);
    }
}

/// CRC-32 as in IEEE 802.3: reflected polynomial 0xEDB88320, initial value and final complement all ones.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0_u32; 256];
        let mut i = 0;
        while i < 256 {
            let (mut crc, mut bit) = (i as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xFF) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(i: u64) -> Event {
        Event::Note(NoteRequest { run: "r".into(), at_ns: i, kind: "k".into(), text: "x".repeat(i as usize * 7) })
    }

    fn read(path: &Path) -> (Vec<Event>, Journal) {
        let mut events = Vec::new();
        let journal = Journal::reopen(path, |e| events.push(e)).unwrap();
        (events, journal)
    }

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn wherever_it_is_cut_the_whole_records_are_read_and_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut journal = Journal::create(&path).unwrap();
        let ends: Vec<u64> = (0..4)
            .map(|i| {
                journal.append(note(i)).unwrap();
                journal.length
            })
            .collect();
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (events, mut journal) = read(&path);
            let whole = ends.iter().filter(|end| **end <= cut as u64).count();
            assert_eq!(events, (0..whole as u64).map(note).collect::<Vec<_>>(), "cut at {cut}");
            journal.append(note(9)).unwrap();
            assert_eq!(read(&path).0.last(), Some(&note(9)), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut journal = Journal::create(&path).unwrap();
        (1..4).for_each(|i| journal.append(note(i)).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(read(&path).0.len() < 3);
    }
}
