//! The page of a study, as a run writes it and as a browser shows it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::space::{RETRIEVAL, Space};

/// The study of [`RETRIEVAL`] with a second run of it whose rankings differ, compared query by query.
fn space() -> Space {
    let space = Space::new(RETRIEVAL);
    space.edit("study.xpipe", "low = 0.9, high = 1.2", "low = 0.9, high = 9.0");
    // A document of one word, over and over: first where k1 is high.
    let spam = vec!["yeast"; 40].join(" ");
    let corpus = format!("{}{{\"_id\": \"spam\", \"text\": \"{spam}\"}}\n", space.read("data/corpus.jsonl"));
    space.write("data/corpus.jsonl", &corpus);
    space.edit(
        "study.xpipe",
        "value = scores.ndcg_10,",
        "value = scores.ndcg_10, test = paired_t(over = query, against = k1.low),",
    );
    space
}

#[test]
fn a_run_writes_a_page_that_a_run_with_nothing_to_do_keeps() {
    let space = space();
    let run = space.xpipe(&["run", "study.xpipe", "--json"]).json();
    let page = space.path("results/study/report.html");
    assert_eq!(run["pages"][0].as_str().map(PathBuf::from), Some(page.canonicalize().unwrap()));
    let first = std::fs::read_to_string(&page).unwrap();
    for part in [
        "8 ran",
        "nDCG@10",
        "paired t-test over queries",
        "finds something",
        "data-cell=\"0-1-0\"",
        "<svg xmlns",
    ] {
        assert!(first.contains(part), "no {part}");
    }
    // Nothing is loaded from anywhere, and no path of this machine is told.
    let known = ["http://www.w3.org/2000/svg", "http-equiv"].map(|part| first.matches(part).count());
    assert!(known[0] > 0 && known[1] == 1, "{known:?}");
    assert_eq!(first.matches("http").count(), known[0] + known[1], "an address of elsewhere");
    assert!(!first.contains(&*space.folder.path().to_string_lossy()), "a path");

    // With nothing to do the page of the run that did something stays; `report` tells what is there now.
    assert_eq!(space.run(), (0, 8, 0));
    assert_eq!(std::fs::read_to_string(&page).unwrap(), first);
    let told = space.xpipe(&["report", "study.xpipe"]);
    assert_eq!(told.code, Some(0), "{told:#?}");
    let second = std::fs::read_to_string(&page).unwrap();
    assert!(second.contains("8 cached") && !second.contains("8 ran"));
    assert_eq!(space.xpipe(&["report", "study.xpipe"]).code, Some(0));
    assert_eq!(std::fs::read_to_string(&page).unwrap(), second, "the same results, other bytes");
    // A change of the study is one of the page.
    space.edit("study.xpipe", "finds something", "finds a thing");
    assert_eq!(space.run(), (0, 8, 0));
    assert!(std::fs::read_to_string(&page).unwrap().contains("finds a thing"));
}

#[test]
fn what_failed_and_what_is_open_is_told() {
    let space = space();
    let told = space.xpipe(&["report", "study.xpipe"]);
    assert_eq!(told.code, Some(0), "{told:#?}");
    assert!(told.out.contains("8 actions have no result yet"), "{}", told.out);
    space.edit("data/qrels.tsv", "q-bread-0\td1\t1", "q-bread-0\td1");
    // The queries are those that the judgements name, so nothing that was asked for is done.
    assert_eq!(space.xpipe(&["run", "study.xpipe"]).code, Some(1));
    let page = space.read("results/study/report.html");
    assert!(page.contains("1 failed") && page.contains("qrels.tsv:3"), "the failure is not told");
}

#[test]
fn reports_name_their_pages_and_stay_in_their_folder() {
    let space = space();
    let study = space.read("study.xpipe");
    let with = |html: &str| {
        space.write(
            "study.xpipe",
            &format!(
                "{study}report main {{ title = \"Only the claim\", sections = [found], html = \"{html}\" }}\n"
            ),
        );
    };
    with("pages/index.html");
    let run = space.xpipe(&["run", "study.xpipe", "--output", "out"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let page = space.read("out/pages/index.html");
    assert!(page.contains("<h1>Only the claim</h1>") && page.contains("finds something"));
    assert!(!page.contains("<table class=\"results\">"), "a table that the report does not name");
    for html in ["../index.html", "/tmp/index.html", "index.txt", "a/../../b.html"] {
        with(html);
        space.xpipe(&["check", "study.xpipe"]).says(3, &["no place for a page inside the folder of results"]);
    }
}

/// A browser, when there is one: `XPIPE_BROWSER` or one of its usual names.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("XPIPE_BROWSER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let found = named.or_else(|| {
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        folders.iter().flat_map(|f| names.map(|n| f.join(n))).find(|p| p.is_file())
    });
    if found.is_none() {
        xpipe_testing::skip("no chromium");
    }
    found
}

/// Loads a page and returns the document after its scripts, and what was said on the console.
fn load(browser: &Path, page: &Path, width: u32) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
        ])
        .args(["--enable-logging=stderr", "--v=0", "--dump-dom", "--virtual-time-budget=2000"])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|l| l.contains("CONSOLE"))
        .map(str::to_owned)
        .collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

/// What a reader does, told in the title: opens a cell, a query of it, closes it; then how wide the page is.
const READER: &str = r#"<script>
addEventListener("load", () => {
  const told = [];
  const dialog = document.querySelector("dialog");
  document.querySelector('[data-cell="0-1-0"]').click();
  told.push(dialog.open, dialog.querySelector("h3").textContent, location.hash);
  const query = dialog.querySelector("button[aria-expanded]");
  query.click();
  told.push(query.getAttribute("aria-expanded"), dialog.querySelectorAll(".rankings section").length,
    dialog.querySelectorAll(".rankings li.relevant").length > 0, dialog.querySelectorAll(".passage mark").length > 0);
  dialog.querySelector(".close").click();
  // Closing is told to the page after this.
  dialog.addEventListener("close", () => setTimeout(() => {
    told.push(dialog.open, document.activeElement.dataset.cell);
    told.push(document.documentElement.scrollWidth <= innerWidth);
    document.title = JSON.stringify(told);
  }));
});
</script>"#;

#[test]
fn a_browser_shows_the_page_and_opens_its_cells() {
    let Some(browser) = browser() else { return };
    let space = space();
    assert_eq!(space.run(), (8, 0, 0));
    let page = space.read("results/study/report.html");
    for width in [1200, 500] {
        space.write("read.html", &page.replace("</body>", &format!("{READER}</body>")));
        // On a busy machine the browser's time may be over before the reader has read: it is started again.
        let mut title = String::new();
        for _ in 0..4 {
            let (document, said) = load(&browser, &space.path("read.html"), width);
            assert!(said.is_empty(), "{said:#?}");
            document
                .split("<title>")
                .nth(1)
                .unwrap()
                .split("</title>")
                .next()
                .unwrap()
                .clone_into(&mut title);
            if title.starts_with('[') {
                break;
            }
        }
        assert_eq!(
            title, r##"[true,"high against low","#cell-0-1-0","true",2,true,true,false,"0-1-0",true]"##,
            "at a width of {width}"
        );
    }
}
