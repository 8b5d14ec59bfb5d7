//! What a shipper keeps on disk because no data plane took it: shipments, one after the other, each behind its length as
//! a varint, as on the stream: first who ships, then intervals, then the accounts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message as _;

use crate::telemetry::Shipment;

/// The directory in a run's directory where reports look for such files.
pub const DIR: &str = "kept";

/// How their names end.
const EXTENSION: &str = "shipments";

/// The file of the shipper with this name, in `dir`.
pub fn path(dir: &Path, shipper: &str) -> PathBuf {
    dir.join(format!("{shipper}.{EXTENSION}"))
}

/// Whether it is named as such a file.
pub fn is_file(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == EXTENSION)
}

/// Appends one.
///
/// # Errors
/// When it can't be written.
pub fn write(shipment: &Shipment, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&shipment.encode_length_delimited_to_vec())
}

/// Reads all of them, up to the first that is torn.
///
/// # Errors
/// When the file can't be read.
pub fn read(path: &Path) -> io::Result<Vec<Shipment>> {
    let bytes = std::fs::read(path)?;
    let (mut rest, mut shipments) = (bytes.as_slice(), Vec::new());
    while let Ok(shipment) = Shipment::decode_length_delimited(&mut rest) {
        if shipment.shipment.is_none() {
            break;
        }
        shipments.push(shipment);
    }
    Ok(shipments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Goodbye, SealedInterval, shipment::Shipment as Kind};

    #[test]
    fn whole_shipments_are_read_wherever_the_file_is_cut() {
        let sealed = SealedInterval { sequence: 7, interval: vec![1; 300].into(), source: "w".into() };
        let goodbye = Goodbye { source: "w".into(), last_sequence: 7, samples: 3, counts: 4, ..Goodbye::default() };
        let all = [Kind::Interval(sealed), Kind::Goodbye(goodbye)].map(|kind| Shipment { shipment: Some(kind) });
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for shipment in &all {
            write(shipment, &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        let path = path(&std::env::temp_dir(), &format!("kept-{}", std::process::id()));
        assert!(is_file(&path) && !is_file(Path::new("a.spool")));
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(read(&path).unwrap(), all[..whole], "cut at {cut}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
