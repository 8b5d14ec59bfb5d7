//! The report in a real browser: no console error, nothing wider than the screen, hover and zoom work.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::synthetic;

/// Appended to the page: tests it from within.
const INSPECTOR: &str = include_str!("render_inspector.js");

fn browser() -> &'static Path {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.exists())
        .expect("no browser is installed: run `apt-get install -y chromium` (`cargo xtask test` does it when root)")
}

/// Runs the browser on a page and returns its DOM and its log.
fn browse(page: &str, more: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().expect("a directory for the browser's profile");
    let mut command = Command::new("timeout");
    command.arg("60").arg(browser()).args(more);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--log-level=0",
        "--dump-dom",
    ]);
    command.arg("--window-size=1400,1300").arg(format!("--user-data-dir={}", profile.path().display()));
    let output = command.arg(page).stdin(Stdio::null()).output().expect("the browser starts");
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The report and its inspector in a frame: a browser's window is never narrower than 500 pixels, a frame is.
fn framed(html: &str, width: u32, scheme: &str) -> String {
    let inspected = html.replace("</body>", &format!("<script>{INSPECTOR}</script></body>"));
    let inspected = inspected.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!doctype html><title>test</title><iframe name=\"{scheme}\" width=\"{width}\" height=\"1200\" style=\"border:0\" srcdoc=\"{inspected}\"></iframe>"
    )
}

fn inspect(name: &str, html: &str, width: u32, dark: bool) {
    let directory = tempfile::tempdir().expect("a directory for the page");
    let page = directory.path().join("report.html");
    std::fs::write(&page, framed(html, width, if dark { "dark" } else { "light" })).expect("the page is written");
    let dark_mode = ["--blink-settings=preferredColorScheme=0"];
    let (dom, log) = browse(&format!("file://{}", page.display()), if dark { &dark_mode } else { &[] });
    let console: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{name} at {width} px: {console:#?}");
    let found = dom.split(" data-found=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(found, Some(""), "{name} at {width} px, dark {dark}");
}

#[test]
fn every_report_is_whole_on_a_phone() {
    for (name, result) in synthetic::gallery() {
        inspect(name, &reports::render::html(&result), 390, false);
    }
}

#[test]
fn a_comparison_is_whole_on_a_phone_and_on_a_desk() {
    let pages = crate::comparison::pages();
    for (name, page) in &pages {
        inspect(name, page, 390, false);
    }
    for (width, dark) in [(390, true), (1280, false), (1280, true)] {
        inspect("comparison", &pages[0].1, width, dark);
    }
}

#[test]
fn a_report_is_whole_on_a_desk_and_on_a_phone_in_light_and_dark() {
    for (name, result) in [("quickstart", synthetic::quickstart()), ("hour", synthetic::hour())] {
        for (width, dark) in [(390, false), (390, true), (1280, false), (1280, true)] {
            inspect(name, &reports::render::html(&result), width, dark);
        }
    }
}

/// Around the live page: opens a table, scrolls, and leaves what became of both when the run is over.
const READER: &str = r#"<!doctype html><title>test</title><iframe src="/report" width="800" height="900"></iframe><script>
const frame = document.querySelector("iframe"), seen = [];
frame.addEventListener("load", () => {
  const page = frame.contentDocument, header = page.querySelector("header").className;
  if (!seen.length) { page.querySelector("details").open = true; frame.contentWindow.scrollTo({ top: 1234, behavior: "instant" }); }
  else document.documentElement.dataset.seen = [...seen, header].join(" ");
  setTimeout(() => {
    seen.push(header, frame.contentWindow.scrollY, page.querySelector("details").open);
    document.documentElement.dataset.seen = seen.join(" ");
  }, 100);
});
</script>"#;

#[test]
fn a_live_page_renews_itself_until_the_run_is_over_and_keeps_the_readers_place() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (running, over) = (synthetic::running(), synthetic::quickstart());
    let pages = [READER.to_owned(), reports::render::html(&running), reports::render::html(&over)];
    std::thread::spawn(move || {
        let mut reports = 0;
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let request = lines.next().unwrap_or_default();
            lines.for_each(drop);
            reports += usize::from(request.starts_with("GET /report"));
            let page = if request.starts_with("GET / ") { &pages[0] } else { &pages[if reports > 2 { 2 } else { 1 }] };
            let body = if request.starts_with("HEAD") { "" } else { page };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n";
            // A browser that hangs up has what it wanted.
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", page.len());
        }
    });
    let (dom, log) = browse(&format!("http://{address}/"), &["--virtual-time-budget=20000"]);
    let seen = dom.split(" data-seen=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let times: Vec<_> = seen.split(' ').collect();
    let place: Vec<_> = times.chunks(3).collect();
    assert_eq!(place[..2], [["running", "1234", "true"]; 2], "{seen:?} {log}");
    assert_eq!((place.len(), place[2][0]), (3, "passed"), "the last page stays: {seen:?}");
    assert!(!log.contains("CONSOLE"), "{log}");
}

#[test]
fn words_stand_out_from_their_ground() {
    let css = include_str!("../../assets/report.css");
    let (light, dark) = css.split_once("@media screen and (prefers-color-scheme: dark)").unwrap();
    for (scheme, css) in [("light", light), ("dark", dark)] {
        let color = |name: &str| {
            let hex = css.split(&format!("--{name}: #")).nth(1).unwrap_or_else(|| panic!("{scheme} has no {name}"));
            [0, 2, 4].map(|i| f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0)
        };
        let pairs = [("ink", "page"), ("soft", "page"), ("link", "page"), ("failed", "page"), ("ink", "faint")];
        let verdicts = ["passed", "failed", "invalid"].map(|v| [(v, v, true), ("ink", v, true), ("soft", v, true)]);
        let grounds =
            pairs.map(|(word, ground)| (word, ground, false)).into_iter().chain(verdicts.into_iter().flatten());
        for (word, ground, on_verdict) in grounds {
            let ground = if on_verdict { format!("{ground}-page") } else { ground.to_owned() };
            let ratio = contrast(color(word), color(&ground));
            assert!(ratio >= 4.5, "{scheme}: {word} on {ground} has {ratio:.2} : 1");
        }
    }
}

/// WCAG 2.2, relative luminance and contrast ratio.
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let luminance = |rgb: [f64; 3]| {
        let [r, g, b] = rgb.map(|c| if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (high, low) = (luminance(a).max(luminance(b)), luminance(a).min(luminance(b)));
    (high + 0.05) / (low + 0.05)
}
