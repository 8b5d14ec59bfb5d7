//! Compiles the contracts with protox, which needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "throng/control/v1/control.proto",
        "throng/telemetry/v1/telemetry.proto",
        "throng/link/v1/link.proto",
        "opentelemetry/metrics.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    // They carry secrets, and say themselves what they show (src/redacted.rs).
    let secretive =
        ["control.v1.Scenario", "control.v1.Target", "control.v1.Instance", "link.v1.CallRequest", "link.v1.Header"];
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .skip_debug(secretive.map(|name| format!(".throng.{name}")))
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
