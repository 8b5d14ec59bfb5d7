//! From which addresses of this host connections come: those that it was given, or on loopback as many as it takes.
//!
//! One source address has some 28,000 ports towards one address and port of a service, shared by all processes of the
//! host. Ports are chosen when a connection is made (`IP_BIND_ADDRESS_NO_PORT`), so one serves for every target.
//!
//! Half of them come at no cost: the kernel keeps the odd or the even ones for connecting, and goes through all of those
//! before it takes another (`__inet_hash_connect` in Linux). Once 14,000 are taken each connect tries 14,000 in vain,
//! which takes it a millisecond of a processor.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use client::Endpoint;

/// More source addresses than this can't be needed: they stand for a hundred million connections.
const SOURCES_MAX: u32 = 4_096;
/// Source addresses that one worker takes of 127.1.0.0/16, at most.
const LOOPBACK_BLOCK: u64 = 16;
/// The share of an address's ports towards one target that is taken on loopback: less than the half that is quickly found.
const EASY_PORTS: f64 = 0.4;

/// One address, or a range of them.
pub type Sources = Vec<IpAddr>;

/// Reads `10.0.0.5` or `10.0.0.5-10.0.0.20`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Sources, String> {
    let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| format!("{text:?} is no IP address"));
    let Some((first, last)) = text.split_once('-') else { return Ok(vec![address(text)?]) };
    let (IpAddr::V4(first), IpAddr::V4(last)) = (address(first)?, address(last)?) else {
        return Err("ranges are of IPv4 addresses; name IPv6 addresses one by one".into());
    };
    let (first, last) = (u32::from(first), u32::from(last));
    if last < first || last - first >= SOURCES_MAX {
        return Err(format!("a range goes from a lower to a higher address, and has at most {SOURCES_MAX} of them"));
    }
    Ok((first..=last).map(|bits| IpAddr::V4(bits.into())).collect())
}

/// Checks that connections can come from these addresses.
///
/// # Errors
/// Which is not this host's.
pub(crate) fn check(sources: &[IpAddr]) -> Result<(), String> {
    for source in sources {
        // Nobody connects to it: that it can be bound shows that the address is ours.
        TcpListener::bind(SocketAddr::new(*source, 0))
            .map_err(|e| format!("the source address {source} can't be used: {e}; it must be one of this host's"))?;
    }
    Ok(())
}

/// Source addresses for a service on loopback, where all of 127.0.0.0/8 is ours: none of them as long as the ports of
/// the usual one suffice for `all` users of the run, whichever processes of the host they are in; else a block of the
/// worker's own for its `users`, all of whom may connect to one target.
pub(crate) fn on_loopback(endpoints: &[Endpoint], ports: u64, all: u64, users: u64, worker: u32) -> Vec<IpAddr> {
    let local = |e: &Endpoint| e.addresses().first().is_some_and(|a| a.is_ipv4() && a.ip().is_loopback());
    let targets = endpoints.len().max(1) as u64;
    let easy = (ports as f64 * EASY_PORTS) as u64;
    if easy == 0 || all.div_ceil(targets) <= easy || !endpoints.iter().all(local) {
        return Vec::new();
    }
    let needed = users.div_ceil(easy).clamp(1, LOOPBACK_BLOCK);
    let base = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + worker % SOURCES_MAX * LOOPBACK_BLOCK as u32;
    (0..needed as u32).map(|n| IpAddr::V4((base + n).into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ranges_are_read() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(parse("10.0.0.5"), Ok(vec![ip("10.0.0.5")]));
        assert_eq!(parse("10.0.0.255-10.0.1.1"), Ok(vec![ip("10.0.0.255"), ip("10.0.1.0"), ip("10.0.1.1")]));
        assert_eq!(parse("::1"), Ok(vec![ip("::1")]));
        for bad in ["", "x", "10.0.0.1-", "10.0.0.2-10.0.0.1", "10.0.0.0-10.1.0.0", "::1-::2", "10.0.0.0/24"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_of_another_host_is_named() {
        assert_eq!(check(&["127.0.0.1".parse().unwrap(), "127.3.2.1".parse().unwrap()]), Ok(()));
        assert!(check(&["192.0.2.1".parse().unwrap()]).unwrap_err().contains("192.0.2.1 can't be used"));
    }

    #[tokio::test]
    async fn loopback_has_addresses_of_its_own_for_every_worker() {
        let near = Endpoint::parse("ws://127.0.0.1:80").unwrap().resolved().await.unwrap();
        let far = Endpoint::parse("ws://192.0.2.1:80").unwrap().resolved().await.unwrap();
        let ports = 28_232;
        assert_eq!(on_loopback(std::slice::from_ref(&near), ports, 11_000, 11_000, 0), Vec::<IpAddr>::new());
        assert_eq!(on_loopback(&[far], ports, 90_000, 20_000, 0), Vec::<IpAddr>::new());
        let four = vec![near.clone(); 4];
        assert_eq!(on_loopback(&four, ports, 45_000, 20_000, 0), Vec::<IpAddr>::new(), "11,250 to each");
        assert_eq!(on_loopback(&four, ports, 90_000, 18_000, 0).len(), 2, "as many may go to one of the four");
        let own: Vec<_> =
            (0..3).map(|worker| on_loopback(std::slice::from_ref(&near), ports, 90_000, 30_000, worker)).collect();
        assert!(own.iter().all(|sources| sources.len() == 3), "{own:?}");
        assert!(!own[0].contains(&own[1][0]) && !own[1].contains(&own[2][0]));
        assert_eq!(check(&own.concat()), Ok(()));
    }
}
