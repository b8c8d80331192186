//! Amounts are printed as studies write them: in labels, messages, claims and reports.

use super::space::Space;

const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = validation }
axis room: Bytes = [16GiB, 1500MB]
axis system = { bm25 = 1 }
axis limit: Duration = [20h, 90min]
param most: Bytes = 24GiB
stage found = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10)
stage scores = evaluate { run = found, qrels = tiny.qrels, metrics = [ap()] }
table t { title = "at most {most}", rows = system, value = scores.ap }
claim roomy for room { text = "{room} of {most}", expect = room == 16GiB }
claim long for limit { text = "{limit} are enough", expect = limit == 20h }
profile pilot { only room = [16GiB] }
"#;

#[test]
fn claims_titles_and_overrides_have_the_study_s_units() {
    let space = Space::new(STUDY);
    let ran = space.xpipe(&["run", "study.xpipe", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let shown = space.xpipe(&["show", "study.xpipe"]).out;
    for part in ["at most 24GiB", "1500MB of 24GiB", "90min are enough"] {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    let page = space.read("results/study/report.html");
    for part in ["at most 24GiB", "1500MB of 24GiB"] {
        assert!(page.contains(part), "no `{part}`");
    }
    let set = space.xpipe(&["show", "study.xpipe", "--set", "most=0.5GiB", "--only", "room=1.5GB"]);
    assert!(set.out.contains("1500MB of 512MiB") && !set.out.contains("16GiB of"), "{set:#?}");
    let pilot = space.xpipe(&["show", "study.xpipe", "--profile", "pilot"]);
    assert!(pilot.out.contains("16GiB of 24GiB") && !pilot.out.contains("1500MB of"), "{pilot:#?}");
    let unknown = space.xpipe(&["plan", "study.xpipe", "--only", "room=17GiB"]);
    assert!(unknown.code != Some(0) && unknown.err.contains("has no `17GiB`"), "{unknown:#?}");
}

#[test]
fn messages_have_the_study_s_units() {
    for (text, told) in [
        ("let n: Int = 24GiB", "`24GiB` is"),
        ("let n: Int = 1500MB", "`1500MB` is"),
        ("let n: Bytes = 90min", "`90min` is"),
        ("let n: Int = 36h", "`36h` is"),
    ] {
        let space = Space::new(&format!("{STUDY}{text}\n"));
        let ended = space.xpipe(&["check", "study.xpipe"]);
        assert!(ended.code == Some(3) && ended.err.contains(told), "{text}: {}{}", ended.out, ended.err);
    }
}

#[test]
fn one_thing_is_counted_in_the_singular() {
    let one = "edition 2026\nlet n: Int = 1.5\n";
    let checked = Space::new(one).xpipe(&["check", "study.xpipe"]);
    assert!(checked.out.contains("study.xpipe: 1 error\n"), "{checked:#?}");
    let space = Space::new(
        "edition 2026\ndataset t: TestCollection = local { docs = \"data/corpus.jsonl\", queries = \
         \"data/queries.jsonl\", qrels = \"data/qrels.tsv\" }\nstage index = bm25.index { corpus = t.corpus }\n",
    );
    let checked = space.xpipe(&["check", "study.xpipe"]);
    assert!(checked.out.contains("1 cell,"), "{checked:#?}");
}
