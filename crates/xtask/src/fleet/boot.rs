//! All hosts, made and booted: what terraform writes to each, what stands for AWS, and the unit that readies a host.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::host::Host;
use super::network::{Port, switch};
use super::unit::variables;
use super::{directory, tool};
use crate::repo;

/// The hosts, and what each is.
const HOSTS: [(&str, &str); 9] = [
    ("control-plane", "control-plane"),
    ("data-plane", "data-plane"),
    ("origin", "origin"),
    ("edge-1", "edge"),
    ("edge-2", "edge"),
    ("worker-1", "worker"),
    ("worker-2", "worker"),
    ("worker-3", "worker"),
    ("probe-1", "probe"),
];
/// Where a person sits.
const OPERATOR: &str = "operator";
/// Addresses of a worker's host.
const ADDRESSES: u8 = 3;
/// How long hosts may take until all serve.
const SERVE_WITHIN: Duration = Duration::from_secs(60);
/// Words of ours, known to nobody else.
const SECRET: &str = "a secret of this fleet";
const TOKEN: &str = "a token of this fleet";

/// See the module.
#[derive(Debug)]
pub(super) struct Fleet {
    hosts: BTreeMap<String, Host>,
    pub(super) operator: Host,
    /// The fleet's variables.
    pub(super) variables: BTreeMap<String, String>,
}

impl Fleet {
    /// Makes all hosts, boots them, and waits until all serve.
    ///
    /// # Errors
    /// What doesn't come up, with what it said.
    pub(super) fn boot() -> Result<Self> {
        let directory = directory();
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        let shared = directory.join("shared");
        fs::create_dir_all(&shared)?;
        fs::write(shared.join("hosts"), "127.0.0.1 localhost\n")?;
        let sample = fs::read_to_string(repo::root().join("deploy/hosts/throng.env"))?;
        let mut variables = variables(&sample);
        let sha256 = stand_in_for_aws(&shared, &variables)?;
        variables.insert("FLEET_BINARY_SHA256".to_owned(), sha256);
        switch()?;
        let mut numbers = 1_u8..;
        let mut made =
            |name: &str, role| Host::new(Port::new(name, numbers.next().unwrap_or(u8::MAX)), role, &directory);
        let operator = made(OPERATOR, OPERATOR)?;
        let hosts = HOSTS.iter().map(|&(name, role)| Ok((name.to_owned(), made(name, role)?)));
        let mut fleet = Self { hosts: hosts.collect::<Result<_>>()?, operator, variables };
        fleet.configure(&shared)?;
        for host in fleet.hosts.values_mut() {
            host.once("throng-host")?;
            host.start()?;
        }
        let serve = |fleet: &mut Self| Ok(fleet.hosts.values().all(Host::serves).then_some(()));
        let served = super::eventually("all hosts serve", SERVE_WITHIN, &mut fleet, serve);
        served.with_context(|| {
            let silent = fleet.hosts.values().filter(|host| !host.serves());
            silent.map(Host::tail).collect::<Vec<_>>().join("\n")
        })?;
        Ok(fleet)
    }

    /// Looks after all hosts, as their init systems do.
    ///
    /// # Errors
    /// When a process can't be started.
    pub(super) fn tend(&mut self) -> Result<()> {
        self.hosts.values_mut().try_for_each(Host::tend)
    }

    /// A host by its name.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.get_mut(name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// The fleet's zone.
    pub(super) fn domain(&self) -> String {
        let name = self.variables["FLEET_CONTROL_PLANE"].split(['/', ':']).rfind(|part| part.contains('.'));
        name.and_then(|name| name.split_once('.')).map(|(_, domain)| domain.to_owned()).unwrap_or_default()
    }

    /// What the worker or probe of a host is called.
    pub(super) fn agent(&mut self, host: &str) -> String {
        format!("{}-i-{host}", self.host(host).role)
    }

    /// All hosts.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// What user data writes, and what a host knows of itself.
    fn configure(&self, shared: &Path) -> Result<()> {
        let domain = self.domain();
        certificates(shared, &domain)?;
        for file in ["ca.pem", "operator.pem", "operator.key"] {
            fs::copy(shared.join("certs").join(file), self.operator.path(&format!("/var/lib/{file}")))?;
        }
        self.operator.write("/var/lib/secret", SECRET)?;
        self.operator.write("/var/lib/token", TOKEN)?;
        for host in self.hosts.values().chain([&self.operator]) {
            for (file, text) in [
                ("/etc/passwd", "root:x:0:0::/root:/bin/sh\nthrong:x:64000:64000::/:/sbin/nologin\n"),
                ("/etc/group", "root:x:0:\nthrong:x:64000:\n"),
                ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
                ("/etc/host.conf", "multi on\n"),
                ("/etc/hosts", ""),
            ] {
                host.write(file, text)?;
            }
            for link in fs::read_dir("/etc/alternatives").into_iter().flatten().flatten() {
                if let Ok(to) = fs::read_link(link.path()) {
                    symlink(to, host.path("/etc/alternatives").join(link.file_name()))?;
                }
            }
            let of_host = variables_of(&self.variables, host, &domain);
            let text: String = of_host.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            host.write("/etc/throng/throng.env", &text)?;
            know_itself(host)?;
        }
        kernel_limits(&self.hosts)
    }
}

/// What stands in one host's /etc/throng/throng.env, as terraform has it.
fn variables_of(fleet: &BTreeMap<String, String>, host: &Host, domain: &str) -> BTreeMap<String, String> {
    let role = host.role;
    let name = match role {
        "control-plane" | "data-plane" | "origin" => format!("{role}.{domain}"),
        "edge" => format!("edges.{domain}"),
        _ => String::new(),
    };
    let mut secrets = vec![
        "tls-ca=/throng/tls/ca".to_owned(),
        format!("tls-cert=/throng/tls/{role}/cert"),
        format!("tls-key=/throng/tls/{role}/key"),
    ];
    match role {
        "origin" | "edge" => secrets.push("api-secret=/throng/api-secret".to_owned()),
        "control-plane" => secrets.push("token=/throng/token".to_owned()),
        _ => {}
    }
    let own = [("FLEET_ROLE", role.to_owned()), ("FLEET_DNS_NAME", name), ("FLEET_SECRETS", secrets.join(" "))];
    fleet.clone().into_iter().chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// What the metadata service answers.
fn know_itself(host: &Host) -> Result<()> {
    let (main, mac) = (host.port.address(), host.port.mac());
    let further = if host.role == "worker" { 1..ADDRESSES } else { 0..0 };
    let all: Vec<Ipv4Addr> = std::iter::once(main).chain(further.map(|n| host.port.further(n))).collect();
    let all = all.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join("\n");
    host.write("/etc/instance/mac", &mac)?;
    host.write("/etc/instance/local-ipv4", &main.to_string())?;
    host.write("/etc/instance/instance-id", &format!("i-{}", host.port.name))?;
    host.write(&format!("/etc/instance/network/interfaces/macs/{mac}/local-ipv4s"), &all)
}

/// The kernel's limits of `deploy/hosts/sysctl.conf`, as far as a network namespace has them for itself.
fn kernel_limits(hosts: &BTreeMap<String, Host>) -> Result<()> {
    let text = fs::read_to_string(repo::root().join("deploy/hosts/sysctl.conf"))?;
    let net = variables(&text).into_iter().filter(|(name, _)| name.starts_with("net."));
    let set = net.map(|(name, value)| {
        let file = format!("/proc/sys/{}", name.trim().replace('.', "/"));
        format!("[ ! -w {file} ] || echo '{}' >{file}\n", value.trim())
    });
    let script = set.collect::<String>();
    for name in hosts.keys() {
        let namespace = format!("--net=/run/netns/{name}");
        tool(Command::new("nsenter").args([&namespace, "sh", "-ec", &script]))?;
    }
    Ok(())
}

/// The commands that stand for AWS, and the bucket with the binary; answers the binary's SHA-256.
fn stand_in_for_aws(shared: &Path, fleet: &BTreeMap<String, String>) -> Result<String> {
    let local = |part: &str| shared.join("local").join(part);
    let binary = std::env::current_exe()?.with_file_name("throng");
    let bucket = fleet["FLEET_BINARY"].strip_prefix("s3://").context("the binary is in a bucket")?;
    let at = local("share/aws/s3").join(bucket);
    fs::create_dir_all(at.parent().context("a key in a bucket")?)?;
    symlink(&binary, at)?;
    for part in ["bin", "lib/throng"] {
        fs::create_dir_all(local(part))?;
    }
    let host = fs::read_to_string(repo::root().join("deploy/hosts/throng-host"))?;
    let nothing = "#!/bin/sh\necho \"systemctl $*\" >>/var/lib/systemctl\n";
    for (file, text) in [
        ("lib/throng/throng-host", host.as_str()),
        ("bin/aws", include_str!("aws.sh")),
        ("bin/curl", include_str!("curl.sh")),
        ("bin/systemctl", nothing),
    ] {
        fs::write(local(file), text)?;
        fs::set_permissions(local(file), fs::Permissions::from_mode(0o755))?;
    }
    let sum = tool(Command::new("sha256sum").arg(&binary))?;
    Ok(sum.split_whitespace().next().context("sha256sum says nothing")?.to_owned())
}

/// What the README of terraform puts into the Parameter Store.
fn certificates(shared: &Path, domain: &str) -> Result<()> {
    let certs = shared.join("certs");
    let named = |role: &str| format!("{role}={role}.{domain}");
    let mut make = Command::new(std::env::current_exe()?.with_file_name("throng"));
    make.arg("certs").arg(&certs).args(["--host", &format!("{},127.0.0.1", named("control-plane"))]);
    make.args(["--host", &named("data-plane"), "--host", &named("origin"), "--host", "edge"]);
    make.args(["--host", "worker", "--host", "probe", "--host", OPERATOR]);
    tool(&mut make)?;
    let parameters = shared.join("local/share/aws/parameters/throng");
    let put = |name: &str, from: PathBuf| {
        let to = parameters.join(name);
        fs::create_dir_all(to.parent().context("a parameter has a path")?)?;
        fs::copy(&from, to).with_context(|| from.display().to_string()).map(drop)
    };
    put("tls/ca", certs.join("ca.pem"))?;
    for role in ["control-plane", "data-plane", "origin", "edge", "worker", "probe"] {
        put(&format!("tls/{role}/cert"), certs.join(format!("{role}.pem")))?;
        put(&format!("tls/{role}/key"), certs.join(format!("{role}.key")))?;
    }
    fs::write(parameters.join("api-secret"), SECRET)?;
    fs::write(parameters.join("token"), TOKEN)?;
    ensure!(parameters.join("tls/ca").exists(), "the parameters are there");
    Ok(())
}
