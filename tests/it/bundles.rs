//! `bundle` and `unbundle`: the results of a study in another folder and cache.

use std::path::PathBuf;

use crate::space::{Ended, RETRIEVAL, Space};

/// A run of the study that a bundle brought, in a cache of its own.
fn there(space: &Space, args: &[&str]) -> Ended {
    let mut command = space.command(args);
    command.env("XPIPE_CACHE", space.path("there/cache"));
    Ended::of(command.output().unwrap())
}

/// A study with a module, numbers of a file, a program and its own data, which all are below its folder.
fn study() -> Space {
    use std::os::unix::fs::PermissionsExt as _;
    let space = Space::new("");
    std::fs::create_dir(space.path("study")).unwrap();
    std::fs::rename(space.path("data"), space.path("study/data")).unwrap();
    std::fs::remove_file(space.path("study.xpipe")).unwrap();
    let text = RETRIEVAL.replace("use std.retrieval", "use \"./parts/more.xpipe\" { k }\nuse std.retrieval");
    let text = text.replace("high = 1.2", "high = k");
    let extra = "stage told = exec { program = \"tool.sh\", gives = \"Queries\" }\n";
    space.write("study/s.xpipe", &format!("{text}{extra}"));
    std::fs::create_dir(space.path("study/parts")).unwrap();
    space.write("study/parts/more.xpipe", "edition 2026\nlet k = 1.2\n");
    space.write("study/tool.sh", "#!/bin/sh\nprintf 'q1\\tbread\\n' > \"$XPIPE_OUT/queries.tsv\"\n");
    std::fs::set_permissions(space.path("study/tool.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    space
}

#[test]
fn a_study_moved_to_another_folder_and_cache_finds_all_its_results() {
    let space = study();
    space
        .xpipe(&["bundle", "study/s.xpipe", "s.tar"])
        .says(4, &["have no result yet", "xpipe run study/s.xpipe"]);
    assert_eq!(space.xpipe(&["run", "study/s.xpipe", "--json"]).counts(), (9, 0, 0));
    let tables = space.xpipe(&["show", "study/s.xpipe"]).out;
    let bundled = space.xpipe(&["bundle", "study/s.xpipe", "s.tar", "--json"]).json();
    assert_eq!(bundled["results"], 9, "{bundled:#}");
    assert_eq!(bundled["with_files"], 2, "the evaluations that the table and the claim read");
    assert_eq!(bundled["missing"], serde_json::json!([]));
    space.xpipe(&["bundle", "study/s.xpipe", "again.tar"]).says(0, &[]);
    assert_eq!(std::fs::read(space.path("s.tar")).unwrap(), std::fs::read(space.path("again.tar")).unwrap());

    // Another folder; the first one is gone.
    std::fs::create_dir(space.path("there")).unwrap();
    let done = there(&space, &["unbundle", "s.tar", "--to", "there/study", "--json"]).json();
    assert_eq!((&done["results"], &done["records"]), (&2.into(), &7.into()), "{done:#}");
    let study = "there/study/s.xpipe";
    assert_eq!(PathBuf::from(done["study"].as_str().unwrap()), PathBuf::from(study));
    std::fs::rename(space.path("study"), space.path("gone")).unwrap();
    std::fs::rename(space.cache(), space.path("gone-cache")).unwrap();
    let shown = there(&space, &["show", study]);
    assert_eq!((shown.code, &shown.out), (Some(0), &tables), "{shown:?}");
    assert_eq!(there(&space, &["run", study, "--json"]).counts(), (0, 9, 0));
    assert!(space.path("there/study/results/tables/t.csv").is_file());
    let exported = there(&space, &["export", study, "first[low]", "run.txt"]);
    exported.says(4, &["left out of the bundle", "--force 'first[low]'"]);

    // Going on with it: what the new stage reads is made again, and gives the same.
    let edited = space.read(study).replace("low = 0.9", "low = 0.9, middle = 1.0");
    space.write(study, &edited);
    let run = there(&space, &["run", study, "--json"]);
    let (ran, cached, code) = run.counts();
    assert_eq!((ran + cached, code), (11, 0), "{run:?}");
    // Search and evaluation of the new point, and the index, queries and judgements that these read.
    assert!((2..=6).contains(&ran), "{ran}");
    let verified = there(&space, &["cache", "verify", "--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let all = there(&space, &["run", study, "--json"]);
    assert_eq!(all.counts(), (0, 11, 0));
}

#[test]
fn all_files_are_included_when_they_are_asked_for() {
    let space = study();
    assert_eq!(space.xpipe(&["run", "study/s.xpipe", "--json"]).counts(), (9, 0, 0));
    let with = ["bundle", "study/s.xpipe", "with.tar", "--with", "first[low]", "--json"];
    assert_eq!(space.xpipe(&with).json()["with_files"], 3);
    assert_eq!(
        space.xpipe(&["bundle", "study/s.xpipe", "all.tar", "--all", "--json"]).json()["with_files"],
        9
    );
    std::fs::create_dir(space.path("there")).unwrap();
    there(&space, &["unbundle", "all.tar", "--to", "there/study"]).says(0, &[]);
    let export = |cache: &str, study: &str, to: &str| {
        let mut command = space.command(&["export", study, "first[low]", to]);
        command.env("XPIPE_CACHE", space.path(cache));
        Ended::of(command.output().unwrap()).says(0, &[]);
        space.read(to)
    };
    let run = export("there/cache", "there/study/s.xpipe", "there.run");
    assert_eq!(run, export("cache", "study/s.xpipe", "here.run"));
    // What is too large or lies elsewhere is named.
    let small = space.xpipe(&["bundle", "study/s.xpipe", "small.tar", "--max-input", "10B", "--json"]).json();
    let missing = small["missing"].to_string();
    assert!(missing.contains("data/corpus.jsonl (larger than `--max-input`)"), "{missing}");
    assert!(!missing.contains(space.folder.path().to_str().unwrap()), "{missing}");
    let taken = there(&space, &["unbundle", "all.tar", "--to", "there/study"]);
    taken.says(2, &["there/study exists and is not empty"]);
}

#[test]
fn metadata_has_recipes_digests_and_measures_and_no_place_of_this_machine() {
    let space = study();
    assert_eq!(space.xpipe(&["run", "study/s.xpipe", "--json"]).counts(), (9, 0, 0));
    space.xpipe(&["bundle", "study/s.xpipe", "s.json", "--metadata"]).says(0, &[]);
    let text = space.read("s.json");
    assert!(!text.contains(space.folder.path().to_str().unwrap()), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 9);
    let scores = results.iter().find(|r| r["address"] == "scores[low]").unwrap();
    assert_eq!(scores["recipe"]["op"], "evaluate");
    assert!(scores["values"]["ndcg_10"].as_f64().unwrap() > 0.0);
    let contents = space.contents();
    for result in results {
        let (key, digest) = (result["key"].to_string(), result["digest"].to_string());
        assert_eq!(contents[&key], digest);
    }
    assert_eq!(json["report"]["tables"].as_array().unwrap().len(), 1);
    let files: Vec<&str> =
        json["study"]["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(files, ["parts/more.xpipe", "s.xpipe"]);
}

#[test]
fn a_bundle_does_not_say_where_a_program_of_the_machine_is_and_the_umask_decides_who_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let space = Space::new(
        "edition 2026\nstage q = exec { program = \"ranker\", version = \"2.1\", args = [\"rank.sh\"], files = [\"rank.sh\"], \
         gives = \"Queries\" }\n",
    );
    space.write("rank.sh", "printf 'q1\\tbread\\n' > \"$XPIPE_OUT/queries.tsv\"\n");
    std::fs::create_dir(space.path("machine-bin")).unwrap();
    space.write(
        "machine-bin/ranker",
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'ranker 2.1.4'; exit; fi\nexec /bin/sh \"$@\"\n",
    );
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(space.path("machine-bin/ranker"), executable).unwrap();
    let ran = space.shell("PATH=\"$PWD/machine-bin:$PATH\" \"$X\" run study.xpipe --json");
    assert_eq!(ran.counts(), (1, 0, 0), "{ran:?}");
    let manifests = space.shell("cat cache/v1/actions/*/*.json").out;
    assert!(manifests.contains("machine-bin/ranker"), "the cache of this machine has it: {manifests}");
    space.xpipe(&["bundle", "study.xpipe", "s.json", "--metadata"]).says(0, &[]);
    space.shell("umask 077; \"$X\" bundle study.xpipe private.tar --all").says(0, &[]);
    space.shell("umask 022; \"$X\" bundle study.xpipe open.tar --all").says(0, &[]);
    for (name, mode) in [("private.tar", 0o600), ("open.tar", 0o644)] {
        let found = std::fs::metadata(space.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name} {found:o}");
    }
    for name in ["s.json", "open.tar"] {
        let text = String::from_utf8_lossy(&std::fs::read(space.path(name)).unwrap()).into_owned();
        assert!(text.contains("ranker 2.1.4") && !text.contains("machine-bin"), "{name}: {text}");
    }
}
