//! Kinds of hosts and what they cost: the price table of the repository (`terraform/prices.json`), with its date.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The table, as it is in the repository.
const TABLE: &str = include_str!("../../terraform/prices.json");
/// Names that are offered for one that there isn't.
const NEAREST: usize = 3;

/// Prices of hosts in a region, at a date.
#[derive(Clone, Debug, Deserialize)]
pub struct Prices {
    /// When they were so.
    pub date: String,
    /// Where.
    pub region: String,
    instances: BTreeMap<String, Host>,
}

/// A kind of host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Processors, as threads.
    pub vcpu: u32,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// What its network always gives, in Gbit/s.
    pub network_gbps: f64,
    /// On demand, in US dollars.
    pub usd_per_hour: f64,
}

impl Prices {
    /// The repository's table.
    ///
    /// # Panics
    /// Never: a test reads the same bytes.
    pub fn table() -> Self {
        serde_json::from_str(TABLE).expect("terraform/prices.json is in the form that a test has read")
    }

    /// A kind of host by its name.
    ///
    /// # Errors
    /// There is none: the nearest names.
    pub fn host(&self, kind: &str) -> Result<Host, String> {
        if let Some(host) = self.instances.get(kind) {
            return Ok(*host);
        }
        let mut names: Vec<(f64, &str)> =
            self.instances.keys().map(|name| (strsim::jaro_winkler(name, kind), name.as_str())).collect();
        names.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
        let nearest: Vec<&str> = names.iter().take(NEAREST).map(|(_, name)| *name).collect();
        Err(format!(
            "there is no host {kind:?} in terraform/prices.json (of {}); the nearest are {}",
            self.date,
            nearest.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let prices = Prices::table();
        assert!(prices.instances.len() >= 5 && prices.date.len() == 10, "{}", prices.date);
        for (kind, host) in &prices.instances {
            let some = host.vcpu > 0 && host.memory_gib > 0.0 && host.network_gbps > 0.0 && host.usd_per_hour > 0.0;
            assert!(some, "{kind}: {host:?}");
        }
    }

    #[test]
    fn a_misspelt_host_is_told_the_nearest() {
        let why = Prices::table().host("c7i.8xlrage").unwrap_err();
        assert!(why.contains("\"c7i.8xlrage\"") && why.contains("c7i.8xlarge"), "{why}");
        assert!(Prices::table().host("").unwrap_err().contains("nearest are"));
    }
}
