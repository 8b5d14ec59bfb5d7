//! Writes a report of each synthetic run into a directory: `cargo run -p reports --example gallery -- DIR`.

#[path = "../tests/it/synthetic.rs"]
mod synthetic;

use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let into = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/gallery".into()));
    std::fs::create_dir_all(&into)?;
    for (name, result) in synthetic::gallery().into_iter().chain([("anything", synthetic::anything(1))]) {
        let html = reports::render::html(&result);
        let path = into.join(format!("{name}.html"));
        println!("{} ({} KiB)", path.display(), html.len() / 1024);
        std::fs::write(path, html)?;
        std::fs::write(into.join(format!("{name}.txt")), reports::render::text::summary(&result))?;
    }
    Ok(())
}
