//! The HTML report in a real browser: complete, self-contained, in light and dark, on a screen and on paper.

mod common;

use std::process::{Command, Stdio};

use common::{Prometheus, mesh};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report.png");

/// What the browser says about the page: written into the title by a script that the page itself does not have.
const QUESTIONS: &str = "<script>document.title = JSON.stringify({
    background: getComputedStyle(document.body).backgroundColor,
    overflow: document.documentElement.scrollWidth > innerWidth,
    rows: document.querySelectorAll('table tr').length,
    headings: [...document.querySelectorAll('h3')].map(h => h.textContent),
    links: [...document.querySelectorAll('a')].every(a => document.querySelector(CSS.escape ? '#' + CSS.escape(a.hash.slice(1)) : a.hash)),
    outside: performance.getEntriesByType('resource').length,
    images: document.images.length
})</script>";

fn chromium(arguments: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("chromium: install the package chromium");
    assert!(
        output.status.success(),
        "chromium: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_is_whole_in_a_browser() {
    let mut mesh = mesh::example();
    mesh.caller(
        "reporting/exports",
        "Deployment",
        "hr/payroll:8080",
        9_000,
        "peer=\"tls_passthrough\"",
    );
    mesh.caller(
        "<script>alert(1)</script>",
        "Address",
        "hr/payroll:9000",
        9_500,
        "",
    );
    let prometheus = Prometheus::with(&mesh.openmetrics());
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects.yaml");
    std::fs::write(&objects, mesh::objects()).unwrap();
    let answer = prometheus.ask(&["report", "-f", objects.to_str().unwrap(), "-o", "html"]);
    assert_eq!(answer.code, 2, "{}", answer.err);
    assert!(
        !answer.out.contains("<script"),
        "a caller's name became markup"
    );
    for outside in ["src=", "@import", "url(", "<link"] {
        assert!(!answer.out.contains(outside), "{outside}");
    }

    let asked = folder.path().join("asked.html");
    std::fs::write(
        &asked,
        answer
            .out
            .replace("</html>", &format!("{QUESTIONS}</html>")),
    )
    .unwrap();
    let url = format!("file://{}", asked.display());
    let ask = |scheme: &str| -> serde_json::Value {
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        let page = chromium(&["--window-size=1280,900", &scheme, "--dump-dom", &url]);
        let (_, title) = page.split_once("<title>").unwrap();
        let (title, _) = title.split_once("</title>").unwrap();
        serde_json::from_str(title).unwrap_or_else(|error| panic!("{error}: {title}"))
    };
    let (light, dark) = (ask("1"), ask("0"));
    assert_eq!(
        (&light["background"], &dark["background"]),
        (&"rgb(255, 255, 255)".into(), &"rgb(13, 17, 23)".into())
    );
    for facts in [&light, &dark] {
        assert_eq!(
            (&facts["overflow"], &facts["links"]),
            (&false.into(), &true.into()),
            "{facts}"
        );
        assert_eq!(
            (&facts["outside"], &facts["images"]),
            (&0.into(), &0.into()),
            "{facts}"
        );
    }
    // Five tables with a heading each, four namespaces, nine callers in the way.
    let headings = light["headings"].as_array().unwrap();
    for heading in [
        "Callers in namespace batch",
        "Callers in namespace old",
        "Callers in namespace reporting",
        "No workload of the cluster",
    ] {
        assert!(
            headings.contains(&heading.into()),
            "{heading} in {headings:?}"
        );
    }
    let tables = headings.len() + 1;
    assert_eq!(light["rows"], 4 + 8 + tables, "{light}");

    let page = folder.path().join("report.html");
    std::fs::write(&page, &answer.out).unwrap();
    let pdf = folder.path().join("report.pdf");
    chromium(&[
        &format!("--print-to-pdf={}", pdf.display()),
        &format!("file://{}", page.display()),
    ]);
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF"));
}

/// Writes the README's picture: `make docs ONLY=report`.
#[test]
#[ignore = "writes docs/report.png"]
fn picture() {
    let mut mesh = mesh::example();
    mesh.caller(
        "reporting/exports",
        "Deployment",
        "hr/payroll:8443",
        9_000,
        "peer=\"tls_passthrough\"",
    );
    mesh.caller(
        "monitoring/prometheus",
        "StatefulSet",
        "hr/people:8080",
        7_300,
        "traffic=\"scrape\"",
    );
    mesh.workload("orders", "api", (12, 12), 33)
        .workload("search", "index", (6, 6), 21);
    let prometheus = Prometheus::with(&mesh.openmetrics());
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects.yaml");
    std::fs::write(
        &objects,
        mesh::objects()
            + &mesh::pod("orders", "api", 1, true)
            + &mesh::pod("search", "index", 1, true)
            + &mesh::pod("old", "app-1", 1, false)
            + &mesh::pod("old", "app-2", 1, false)
            + &mesh::pod("batch", "legacy-cron", 1, false)
            + &mesh::pod("reporting", "exports", 1, true)
            + &mesh::pod("monitoring", "prometheus", 1, false),
    )
    .unwrap();
    let answer = prometheus.ask(&["report", "-f", objects.to_str().unwrap(), "-o", "html"]);
    let page = folder.path().join("report.html");
    let host = prometheus.url.trim_start_matches("http://");
    std::fs::write(&page, answer.out.replace(host, "prometheus.example.com")).unwrap();
    chromium(&[
        "--window-size=1280,1330",
        &format!("--screenshot={PICTURE}"),
        &format!("file://{}", page.display()),
    ]);
}
