//! The network of the fleet: a switch in our own namespace, and each host in one of its own, at the end of a cable.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;

use super::tool;

/// The switch's name.
const SWITCH: &str = "switch";

/// A host's place in the network.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// The namespace's name.
    pub(super) name: String,
    number: u8,
}

impl Port {
    /// The n-th place, counted from 1.
    pub(super) fn new(name: &str, number: u8) -> Self {
        Self { name: name.to_owned(), number }
    }

    /// The host's address.
    pub(super) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 80, 0, self.number)
    }

    /// A further address of the host's.
    pub(super) fn further(&self, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 80, n, self.number)
    }

    /// The hardware address of the host's card.
    pub(super) fn mac(&self) -> String {
        format!("02:00:00:00:00:{:02x}", self.number)
    }

    fn cable(&self) -> String {
        format!("port{}", self.number)
    }

    /// Makes the host's namespace, and its card at the switch.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn plug(&self) -> Result<()> {
        let (name, cable, mac, address) =
            (self.name.as_str(), self.cable(), self.mac(), format!("{}/16", self.address()));
        ip(&["netns", "add", name])?;
        let card = ["name", "eth0", "netns", name, "address", &mac];
        ip(&[&["link", "add", &cable, "type", "veth", "peer"], &card[..]].concat())?;
        ip(&["link", "set", &cable, "master", SWITCH, "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "address", "add", &address, "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])
    }

    /// Takes the cable out of the switch: the host's card notices nothing, and nothing gets through.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn cut(&self) -> Result<()> {
        ip(&["link", "set", &self.cable(), "nomaster"])
    }

    /// Puts it in again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn mend(&self) -> Result<()> {
        ip(&["link", "set", &self.cable(), "master", SWITCH])
    }
}

/// Makes the switch.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn switch() -> Result<()> {
    // Namespaces have their names below /run, and ours are nobody else's.
    tool(Command::new("mount").args(["-t", "tmpfs", "none", "/run"]))?;
    ip(&["link", "add", SWITCH, "type", "bridge", "forward_delay", "0"])?;
    ip(&["link", "set", SWITCH, "up"])
}

fn ip(words: &[&str]) -> Result<()> {
    tool(Command::new("ip").args(words)).map(drop)
}
