//! Compiles the contracts with protox, which needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "throng/control/v1/control.proto",
        "throng/telemetry/v1/telemetry.proto",
        "throng/link/v1/link.proto",
        "opentelemetry/metrics.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
