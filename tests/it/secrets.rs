//! Passwords and keys in addresses: they reach the server and nothing else.

use std::path::Path;

use crate::fetching::xpipe;
use crate::server::Server;
use crate::space::Space;

const SECRETS: [&str; 3] = ["s3cr3tpw", "t0k3nvalue", "s1gnature"];
const DOCUMENTS: &str = "{\"_id\": \"a\", \"text\": \"bread and sails\"}\n";

/// Every file below a folder but the study itself.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_none_or(|e| e != "xpipe") {
            found.push(path);
        }
    }
}

#[track_caller]
fn nothing_kept(space: &Space) {
    let mut found = Vec::new();
    files(space.folder.path(), &mut found);
    assert!(found.len() > 5);
    for file in found {
        let bytes = std::fs::read(&file).unwrap();
        for secret in SECRETS {
            let there = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!there, "{secret} is in {}", file.display());
        }
        assert!(!SECRETS.iter().any(|s| file.display().to_string().contains(s)));
    }
}

fn study(address: &str) -> String {
    format!(
        "edition 2026\ndataset c: Corpus = download {{ url = \"{address}\" }}\nstage i = bm25.index {{ corpus = c }}\n"
    )
}

#[test]
fn secrets_of_an_address_are_in_no_file_and_no_message() {
    let server = Server::start();
    let path = "/x/docs.jsonl?v=2&token=t0k3nvalue&X-Amz-Signature=s1gnature";
    server.put(path, DOCUMENTS);
    let address = format!("{}{path}", server.address).replace("://", "://anna:s3cr3tpw@");
    let space = Space::new(&study(&address));
    let mut said = String::new();
    for args in [
        &["plan", "study.xpipe"][..],
        &["fetch", "study.xpipe", "--list"],
        &["fetch", "study.xpipe", "--json"],
        &["run", "study.xpipe"],
        &["run", "study.xpipe", "--json"],
        &["why", "study.xpipe", "i"],
        &["show", "study.xpipe"],
        &["graph", "study.xpipe"],
        &["cache", "verify"],
    ] {
        let ended = xpipe(&space, args);
        assert_eq!(ended.code, Some(0), "{args:?} {ended:#?}");
        said.push_str(&ended.out);
        said.push_str(&ended.err);
    }
    assert!(SECRETS.iter().all(|s| !said.contains(s)), "{said}");
    assert_eq!(server.asked().len(), 1, "fetched once, with the whole address");
    let lock = space.read("study.lock");
    assert!(lock.contains("/x/docs.jsonl?v=2&token=***&X-Amz-Signature=***"), "{lock}");
    nothing_kept(&space);
    // Another signature is the same file.
    space.edit("study.xpipe", "s1gnature", "s2gnature");
    assert_eq!(xpipe(&space, &["run", "study.xpipe", "--json", "--offline"]).counts(), (0, 2, 0));
}

#[test]
fn secrets_are_in_no_error() {
    let server = Server::start();
    let address =
        format!("{}/gone.jsonl?token=t0k3nvalue", server.address).replace("://", "://anna:s3cr3tpw@");
    let nobody = "http://anna:s3cr3tpw@127.0.0.1:9/x.jsonl?sig=s1gnature";
    for address in [address.as_str(), nobody] {
        let space = Space::new(&study(address));
        for args in [
            &["run", "study.xpipe"][..],
            &["run", "study.xpipe", "--json"],
            &["fetch", "study.xpipe", "--offline"],
        ] {
            let ended = xpipe(&space, args);
            assert_eq!(ended.code, Some(4), "{ended:#?}");
            let said = format!("{}{}", ended.out, ended.err);
            assert!(SECRETS.iter().all(|s| !said.contains(s)), "{said}");
        }
        nothing_kept(&space);
    }
}

/// A program that prints and uses a token, and writes it into its output when told to.
const PROGRAM: &str = r#"#!/bin/sh
echo "the token is $TOKEN" >&2
printf '%s' "$TOKEN" | cut -c1-4 >&2
[ "$LEAK" = yes ] && printf 'q1\t%s\n' "$TOKEN" > "$XPIPE_OUT/queries.tsv"
[ ${#TOKEN} = 8 ] || exit 3
[ "$LEAK" = fail ] && { echo "refused: $TOKEN" >&2; exit 4; }
[ "$LEAK" = yes ] || printf 'q1\tbread\n' > "$XPIPE_OUT/queries.tsv"
"#;

#[test]
fn a_secret_of_a_program_is_in_no_key_file_or_message() {
    use std::os::unix::fs::PermissionsExt as _;
    let study = r#"edition 2026
stage q = exec {
    program = "tool.sh", gives = "Queries", env = { TOKEN = secret("LAB_TOKEN"), LEAK = "no" }
}
"#;
    let space = Space::new(study);
    space.write("tool.sh", PROGRAM);
    std::fs::set_permissions(space.path("tool.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut said = String::new();
    let mut run = |args: &[&str], token: Option<&str>, code: i32| {
        let mut command = space.command(args);
        match token {
            Some(token) => command.env("LAB_TOKEN", token),
            None => command.env_remove("LAB_TOKEN"),
        };
        let ended = crate::space::Ended::of(command.output().unwrap());
        assert_eq!(ended.code, Some(code), "{args:?} {ended:#?}");
        said.push_str(&ended.out);
        said.push_str(&ended.err);
        ended
    };
    let missing = run(&["run", "study.xpipe"], None, 4);
    missing
        .says(4, &["the environment variable LAB_TOKEN is not set", "set it where `xpipe run` is started"]);
    run(&["run", "study.xpipe"], Some("short"), 4).says(4, &["has fewer than 6 characters"]);
    assert_eq!(run(&["run", "study.xpipe", "--json"], Some(SECRETS[0]), 0).counts(), (1, 0, 0));
    // The result does not depend on the value, which is needed for a run only.
    assert_eq!(run(&["run", "study.xpipe", "--json"], None, 0).counts(), (0, 1, 0));
    assert_eq!(run(&["run", "study.xpipe", "--json"], Some(SECRETS[1]), 0).counts(), (0, 1, 0));
    let mut logs = Vec::new();
    files(&space.cache().join("v1/runs"), &mut logs);
    logs.retain(|path| path.extension().is_some_and(|e| e == "log"));
    assert_eq!(logs.len(), 1, "{logs:?}");
    let log = std::fs::read_to_string(&logs[0]).unwrap();
    assert_eq!(log, "the token is [LAB_TOKEN]\ns3cr\n", "{log}");
    space.edit("study.xpipe", "LEAK = \"no\"", "LEAK = \"fail\"");
    let failed = run(&["run", "study.xpipe"], Some(SECRETS[0]), 1);
    assert!(failed.err.contains("refused: [LAB_TOKEN]"), "{failed:?}");
    space.edit("study.xpipe", "LEAK = \"fail\"", "LEAK = \"yes\"");
    let leaked = run(&["run", "study.xpipe"], Some(SECRETS[0]), 1);
    assert!(leaked.err.contains("the program wrote the value of LAB_TOKEN into queries.tsv"), "{leaked:?}");
    for args in [
        &["plan", "study.xpipe"][..],
        &["why", "study.xpipe", "q"],
        &["show", "study.xpipe"],
        &["graph", "study.xpipe"],
        &["cache", "ls", "--json"],
        &["cache", "verify", "--json"],
        &["diff", "study.xpipe", "study.xpipe"],
    ] {
        run(args, Some(SECRETS[0]), 0);
    }
    assert!(!said.contains(SECRETS[0]), "{said}");
    nothing_kept(&space);
}

#[test]
fn a_secret_that_a_program_packs_or_escapes_or_misspells_is_kept_nowhere() {
    use std::os::unix::fs::PermissionsExt as _;
    let space = Space::new(
        "edition 2026\nstage r = exec { program = \"tool.sh\", gives = \"Run\", env = { TOKEN = secret(\"LAB_TOKEN\") } }\n",
    );
    space.write("tool.sh", "");
    std::fs::set_permissions(space.path("tool.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let of = |gives: &str, line: &str| {
        space.write("tool.sh", &format!("#!/bin/sh\n{line}\n"));
        let study = space.read("study.xpipe");
        let (before, rest) = study.split_once("gives = \"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        space.write("study.xpipe", &format!("{before}gives = \"{gives}\"{after}"));
        let mut command = space.command(&["run", "study.xpipe"]);
        let ended = crate::space::Ended::of(command.env("LAB_TOKEN", SECRETS[0]).output().unwrap());
        assert!(!ended.out.contains(SECRETS[0]) && !ended.err.contains(SECRETS[0]), "{ended:?}");
        nothing_kept(&space);
        ended
    };
    let packed = of("Run", "echo \"q1 Q0 $TOKEN 1 1.0 x\" | gzip > \"$XPIPE_OUT/run.txt.gz\"");
    packed.says(1, &["the program wrote the value of LAB_TOKEN into run.txt.gz"]);
    let escaped =
        r#"printf '{"_id": "q", "text": "%s\\u0074pw"}\n' "${TOKEN%tpw}" > "$XPIPE_OUT/queries.jsonl""#;
    of("Queries", escaped).says(1, &["the program wrote the value of LAB_TOKEN into"]);
    let elsewhere = "echo \"q1 Q0 $TOKEN 1 1.0 x\" > ../run; ln -s \"$PWD/../run\" \"$XPIPE_OUT/run.txt\"";
    of("Run", elsewhere).says(1, &["run.txt", "which is no file or folder"]);
    let comment =
        r#"printf '# {"t": "%s\\u0074pw"}\nq1 Q0 d1 1 1.0 x\n' "${TOKEN%tpw}" > "$XPIPE_OUT/run.txt""#;
    let told = of("Run", comment);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.err.contains("a text with the value of LAB_TOKEN is left out"), "{told:?}");
    let hidden = "printf %s \"$TOKEN\" > .t; tar cz .t > \"$XPIPE_OUT/extra.tgz\"; cd \"$XPIPE_OUT\"; \
                  for f in config.json model.safetensors tokenizer.json; do echo '{}' > $f; done";
    of("Model", hidden).says(1, &["the program wrote the value of LAB_TOKEN into extra.tgz"]);
    let clean = of("Run", "echo 'q1 Q0 d1 1 1.0 x' > \"$XPIPE_OUT/run.txt\"");
    assert_eq!(clean.code, Some(0), "{clean:?}");
}
