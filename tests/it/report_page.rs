//! The report's page as a browser shows and prints it: wide and narrow, light and dark, and what people who do not see it are told.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::report_site::Site;
use crate::scratch::put;
use crate::scratch::skip;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A browser without a window, and a place for what it writes.
struct Browser {
    folder: TempDir,
}

impl Browser {
    fn find() -> Option<Self> {
        let told = Command::new("chromium").arg("--version").output();
        if !told.is_ok_and(|told| told.status.success()) {
            skip("there is no `chromium`");
            return None;
        }
        Some(Self { folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Opens a file; returns what the browser wrote to its standard streams.
    fn open(&self, file: &Path, options: &[&str]) -> (String, String) {
        let profile = tempfile::tempdir_in(self.folder.path()).unwrap();
        let mut command = Command::new("chromium");
        command.args(QUIET).arg(format!("--user-data-dir={}", profile.path().display()));
        let output =
            command.args(options).arg(format!("file://{}", file.display())).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    /// Shows a page in a frame so wide, and lets a script look at it.
    fn look(&self, page: &str, width: u32, options: &[&str]) -> Value {
        let quoted = Value::from(page).to_string().replace("</", "<\\/");
        let wrapper = WRAPPER
            .replace("@WIDTH@", &width.to_string())
            .replace("@PAGE@", &quoted)
            .replace("@LOOK@", LOOK);
        let file = self.path("wrapper.html");
        put(&file, wrapper);
        let (dom, errors) =
            self.open(&file, &[&["--dump-dom", "--virtual-time-budget=20000"], options].concat());
        let told =
            dom.split_once("<pre id=\"told\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let (told, _) = told.unwrap_or_else(|| unreachable!("the script told nothing: {errors}"));
        let told = told.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&told).unwrap()
    }
}

/// The page of October, left for whoever wants to look.
fn page(site: &Site, arguments: &[&str], name: &str) -> String {
    let file = site.scratch.path(name);
    site.scratch.run(&[&["report", "--html", file.to_str().unwrap()], arguments].concat(), 0);
    let text = fs::read_to_string(&file).unwrap();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    put(kept, &text);
    text
}

#[test]
fn the_page_is_shown_and_printed_as_it_should_be() {
    let Some(browser) = Browser::find() else { return };
    let site = Site::new();
    for (arguments, name) in [
        (&["--month", "2026-10"][..], "report-month.html"),
        (&["--year", "2026"], "report-year.html"),
    ] {
        let text = page(&site, arguments, name);
        let plain = browser.path(name);
        put(&plain, &text);
        let (_dom, told) = browser.open(&plain, &["--dump-dom", "--enable-logging=stderr"]);
        assert!(!told.contains("CONSOLE"), "{name}: {told}");
        for width in [1280, 390] {
            for (scheme, option) in [
                ("light", "--blink-settings=preferredColorScheme=1"),
                ("dark", "--blink-settings=preferredColorScheme=0"),
            ] {
                let told = browser.look(&text, width, &[option]);
                assert_eq!(told["scheme"], scheme, "{name} at {width}: {told}");
                let wrong = told["wrong"].as_array().unwrap();
                assert!(wrong.is_empty(), "{name} at {width}, {scheme}: {wrong:#?}");
                assert!(told["tables"].as_u64().unwrap() > 10, "{told}");
                assert!(told["pictures"].as_u64().unwrap() > 4, "{told}");
                assert!(told["texts"].as_u64().unwrap() > 300, "{told}");
            }
        }
        let pdf = browser.path("printed.pdf");
        let print = format!("--print-to-pdf={}", pdf.display());
        browser.open(&plain, &[&print, "--no-pdf-header-footer"]);
        let pdf = fs::read(pdf).unwrap();
        assert!(pdf.starts_with(b"%PDF"));
        let pages = String::from_utf8_lossy(&pdf).matches("/Type /Page\n").count();
        assert!((2..30).contains(&pages), "{name}: {pages} pages");
    }
}

#[test]
fn the_page_needs_nothing_else_and_runs_nothing() {
    let site = Site::new();
    let text = page(&site, &["--month", "2026-10"], "report-alone.html");
    for forbidden in
        ["<script", "javascript:", "http://", "https://", "@import", "url(", " on", "src="]
    {
        let found = text.match_indices(forbidden).find(|(at, _)| {
            let before = text.get(at.saturating_sub(40)..*at).unwrap_or_default();
            // What draws is named by its namespace; words may begin with `on`.
            !before.ends_with("xmlns=\"") && forbidden != " on"
        });
        assert!(found.is_none(), "{forbidden}: {found:?}");
    }
}

const QUIET: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

const WRAPPER: &str = r#"<!doctype html><meta charset="utf-8"><iframe id="frame" style="width:@WIDTH@px;height:900px;border:0"></iframe>
<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {
  const told = document.createElement("pre");
  told.id = "told";
  try { told.textContent = JSON.stringify(look(frame.contentWindow, frame.contentDocument)); }
  catch (error) { told.textContent = JSON.stringify({ wrong: [String(error)] }); }
  document.body.append(told);
});
frame.srcdoc = @PAGE@;
@LOOK@
</script>"#;

const LOOK: &str = r##"
function look(view, page) {
  const wrong = [], all = (selector) => [...page.querySelectorAll(selector)];
  const must = (holds, words) => { if (!holds) wrong.push(words); };
  const root = page.documentElement;
  must(root.scrollWidth <= root.clientWidth, `wider than its window: ${root.scrollWidth} > ${root.clientWidth}`);
  must(root.lang === "en", "no language");
  for (const name of ["header", "nav", "main", "footer"]) must(all(name).length === 1, `not one ${name}`);
  must(all("h1").length === 1, "not one h1");
  let level = 0;
  for (const heading of all("h1,h2,h3,h4,h5,h6")) {
    const next = Number(heading.tagName[1]);
    must(next <= level + 1, `a heading skips a level: ${heading.textContent}`);
    level = next;
  }
  for (const table of all("table")) {
    must(table.caption && table.caption.textContent.trim(), "a table without a caption");
    must(table.querySelector("thead th"), "a table without a head");
    for (const head of table.querySelectorAll("th")) must(head.getAttribute("scope"), `a head without a scope: ${head.textContent}`);
  }
  for (const picture of all("svg")) {
    must(picture.getAttribute("role") === "img", "a picture without a role");
    const [title, words] = ["title", "desc"].map((name) => picture.querySelector(name));
    must(title?.textContent && words?.textContent, "a picture without words");
    const names = picture.getAttribute("aria-labelledby").split(" ");
    must(names.every((name) => page.getElementById(name)), "a picture that names no words");
  }
  const ids = all("[id]").map((element) => element.id);
  must(new Set(ids).size === ids.length, "an id twice");
  for (const link of all("a")) {
    const to = link.getAttribute("href");
    must(to?.startsWith("#") && page.getElementById(to.slice(1)), `a link to nowhere: ${to}`);
  }
  must(!all("script,link,img,iframe,object,embed,form,[src],[style]").length, "something that is not text");
  for (const scroller of all(".scroll")) must(scroller.tabIndex === 0 && scroller.getAttribute("aria-label"), "a frame that keys do not reach");
  let texts = 0;
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("title,desc") || element.closest(".hidden,.skip")) continue;
    const style = view.getComputedStyle(element);
    const ink = parse(element.closest("svg") ? style.fill : style.color), paper = behind(view, element);
    const ratio = contrast(ink, paper);
    texts += 1;
    must(ratio >= 4.5, `contrast ${ratio.toFixed(2)} of ${element.tagName}.${element.className.baseVal ?? element.className}: ${element.textContent.trim().slice(0, 40)}`);
  }
  const scheme = view.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return { wrong: [...new Set(wrong)].slice(0, 20), texts, tables: all("table").length, pictures: all("svg").length, scheme };
}
function parse(color) {
  const parts = color.match(/[\d.]+/g).map(Number);
  return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
}
function behind(view, element) {
  for (let at = element; at; at = at.parentElement) {
    const color = parse(view.getComputedStyle(at).backgroundColor);
    if (color.alpha === 1) return color;
  }
  return { rgb: [255, 255, 255], alpha: 1 };
}
function contrast(one, other) {
  const light = ({ rgb }) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
"##;
