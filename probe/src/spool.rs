//! What was sealed and is not acknowledged yet: a queue with bounds, first in memory, then in a file.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use bytes::Bytes;

/// How much may wait, and where.
#[derive(Clone, Debug)]
pub struct SpoolLimits {
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Bytes in the file that is used when memory is full.
    pub disk_bytes: u64,
    /// The file's directory.
    pub dir: PathBuf,
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// An interval that waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Which source, by index.
    pub(crate) source: usize,
    /// Its number.
    pub(crate) sequence: u64,
    /// The interval.
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
enum Body {
    Memory(Bytes),
    Disk { at: u64, length: usize },
}

#[derive(Debug)]
struct Entry {
    source: usize,
    sequence: u64,
    body: Body,
}

/// The queue. Entries leave it only by being acknowledged.
#[derive(Debug)]
pub(crate) struct Spool {
    limits: SpoolLimits,
    queue: VecDeque<Entry>,
    /// So many of the first entries are handed out.
    handed_out: usize,
    memory: usize,
    overflow: Overflow,
}

impl Spool {
    /// An empty spool; `name` names its file, should it need one.
    pub(crate) fn new(limits: SpoolLimits, name: &str) -> Self {
        let path = limits.dir.join(format!("{name}-{}.spool", std::process::id()));
        Self { limits, queue: VecDeque::new(), handed_out: 0, memory: 0, overflow: Overflow::new(path) }
    }

    /// Puts an interval in.
    pub(crate) fn push(&mut self, sealed: Sealed) -> Result<(), Full> {
        let Sealed { source, sequence, bytes } = sealed;
        let body = if self.memory + bytes.len() <= self.limits.memory_bytes {
            self.memory += bytes.len();
            Body::Memory(bytes)
        } else {
            let at = self.overflow.append(&bytes, self.limits.disk_bytes).ok_or(Full)?;
            Body::Disk { at, length: bytes.len() }
        };
        self.queue.push_back(Entry { source, sequence, body });
        Ok(())
    }

    /// Puts an interval into memory whatever the bounds say: the last of a source, of which there is one.
    pub(crate) fn push_anyway(&mut self, sealed: Sealed) {
        self.memory += sealed.bytes.len();
        let Sealed { source, sequence, bytes } = sealed;
        self.queue.push_back(Entry { source, sequence, body: Body::Memory(bytes) });
    }

    /// Hands out the next interval, in the order in which they came. It stays until it is acknowledged. One that can't
    /// be read back from the file is an error, and gone.
    pub(crate) fn next(&mut self) -> Option<io::Result<Sealed>> {
        let Entry { source, sequence, body } = self.queue.get(self.handed_out)?;
        let bytes = match body {
            Body::Memory(bytes) => Ok(bytes.clone()),
            Body::Disk { at, length } => self.overflow.read(*at, *length),
        };
        let sealed = bytes.map(|bytes| Sealed { source: *source, sequence: *sequence, bytes });
        match &sealed {
            Ok(_) => self.handed_out += 1,
            Err(_) => drop(self.queue.remove(self.handed_out)),
        }
        Some(sealed)
    }

    /// Whether something is there that was not handed out.
    pub(crate) fn has_next(&self) -> bool {
        self.handed_out < self.queue.len()
    }

    /// Whether something of this source was not handed out.
    pub(crate) fn has_next_of(&self, source: usize) -> bool {
        self.queue.iter().skip(self.handed_out).any(|e| e.source == source)
    }

    /// All that was handed out and not acknowledged is to be handed out again.
    pub(crate) fn rewind(&mut self) {
        self.handed_out = 0;
    }

    /// Everything of a source up to this number is safe elsewhere.
    pub(crate) fn acknowledge(&mut self, source: usize, sequence: u64) {
        let (mut index, mut handed_out, memory) = (0, self.handed_out, &mut self.memory);
        self.queue.retain(|entry| {
            let safe = entry.source == source && entry.sequence <= sequence;
            if safe {
                handed_out -= usize::from(index < self.handed_out);
                if let Body::Memory(bytes) = &entry.body {
                    *memory -= bytes.len();
                }
            }
            index += 1;
            !safe
        });
        self.handed_out = handed_out;
        if !self.queue.iter().any(|e| matches!(e.body, Body::Disk { .. })) {
            self.overflow.clear();
        }
    }

    /// Nothing will come any more: the file goes at once, since the process may end before the spool is dropped.
    pub(crate) fn close(&mut self) {
        self.overflow.remove();
    }

    /// How many intervals wait for an acknowledgement.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// The file behind the memory. It is made when it is first needed and removed when the spool is closed or dropped.
#[derive(Debug)]
struct Overflow {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    broken: bool,
}

impl Overflow {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, length: 0, broken: false }
    }

    /// Where the bytes are now; `None` when there is no room or the disk refuses.
    fn append(&mut self, bytes: &[u8], length_max: u64) -> Option<u64> {
        if self.length + bytes.len() as u64 > length_max {
            return None;
        }
        let at = self.length;
        let written = self.file().and_then(|file| file.write_all_at(bytes, at));
        if let Err(e) = written {
            if !std::mem::replace(&mut self.broken, true) {
                let path = self.path.display();
                tracing::warn!("can't spool to {path}: {e}; seconds are merged in memory until there is room");
            }
            return None;
        }
        self.broken = false;
        self.length += bytes.len() as u64;
        Some(at)
    }

    fn read(&self, at: u64, length: usize) -> io::Result<Bytes> {
        let file = self.file.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            if let Some(dir) = self.path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path)?;
            self.file = Some(options);
        }
        self.file.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn remove(&mut self) {
        if self.file.take().is_some() {
            // Best effort: a spool that stays behind is a stray file and no more.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn clear(&mut self) {
        if self.length > 0
            && let Some(file) = &self.file
            && file.set_len(0).is_ok()
        {
            self.length = 0;
        }
    }
}

impl Drop for Overflow {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(source: usize, sequence: u64, length: usize) -> Sealed {
        Sealed { source, sequence, bytes: vec![sequence as u8; length].into() }
    }

    fn spool(dir: &std::path::Path, memory_bytes: usize, disk_bytes: u64) -> Spool {
        Spool::new(SpoolLimits { memory_bytes, disk_bytes, dir: dir.to_owned() }, "s")
    }

    #[test]
    fn beyond_memory_it_goes_to_a_file_and_beyond_that_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path(), 100, 100);
        for n in 1..=4 {
            spool.push(sealed(0, n, 50)).unwrap();
        }
        assert_eq!(spool.push(sealed(0, 5, 50)), Err(Full));
        let order: Vec<u64> = std::iter::from_fn(|| spool.next()).map(|s| s.unwrap().sequence).collect();
        assert_eq!(order, [1, 2, 3, 4]);
        spool.acknowledge(0, 4);
        assert_eq!((spool.len(), spool.memory, spool.overflow.length), (0, 0, 0));
        spool.push(sealed(0, 5, 50)).unwrap();
        drop(spool);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file goes with the spool");
    }

    #[test]
    fn where_no_file_can_be_made_memory_is_all_there_is() {
        let mut spool = spool(std::path::Path::new("/proc/no/such"), 10, 1_000);
        spool.push(sealed(0, 1, 10)).unwrap();
        assert_eq!(spool.push(sealed(0, 2, 1)), Err(Full));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize, usize),
        Next,
        Ack(usize, u64),
        Rewind,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..2_usize, 1..60_usize).prop_map(|(source, length)| Step::Push(source, length)),
            Just(Step::Next),
            (0..2_usize, 0..20_u64).prop_map(|(source, n)| Step::Ack(source, n)),
            Just(Step::Rewind),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn it_is_a_plain_queue_wherever_the_bytes_are(steps in prop::collection::vec(step(), 1..80)) {
            let dir = tempfile::tempdir().unwrap();
            let (mut spool, mut model, mut out, mut numbers) = (spool(dir.path(), 100, 300), Vec::new(), 0, [0_u64; 2]);
            for step in steps {
                match step {
                    Step::Push(source, length) => {
                        let number = numbers[source] + 1;
                        if spool.push(sealed(source, number, length)).is_ok() {
                            numbers[source] = number;
                            model.push((source, number, length));
                        }
                    }
                    Step::Next => {
                        let next = spool.next().map(|s| s.unwrap());
                        let expected = model.get(out).map(|&(source, number, length)| sealed(source, number, length));
                        out += usize::from(expected.is_some());
                        prop_assert_eq!(next, expected);
                    }
                    Step::Ack(source, number) => {
                        let safe = |m: &(usize, u64, usize)| m.0 == source && m.1 <= number;
                        out -= model[..out].iter().filter(|m| safe(m)).count();
                        model.retain(|m| !safe(m));
                        spool.acknowledge(source, number);
                    }
                    Step::Rewind => {
                        out = 0;
                        spool.rewind();
                    }
                }
                prop_assert_eq!((spool.len(), spool.has_next()), (model.len(), out < model.len()));
            }
        }
    }
}
