//! Files have at most 600 lines, tests included. A function of more than 60 says why: `// long: REASON` inside it.

use super::sources::{Source, all, outside};

const LONGEST_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 60;

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = all()
        .iter()
        .chain(&outside())
        .map(|source| (source, source.whole.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// The name of the function that begins on a line.
fn function(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub(") {
        rest = after.split_once(") ")?.1;
    }
    for word in ["pub ", "const ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Functions with more lines than allowed and no reason: file, name, number of lines.
fn long_functions(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.whole.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else { continue };
        // The signature ends with the brace of the body, or in a trait with a semicolon.
        if !lines[start..].iter().find(|l| l.ends_with(['{', '}', ';'])).is_some_and(|l| l.ends_with('{')) {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let Some(length) = lines[start..].iter().position(|l| *l == close).map(|n| n + 1) else { continue };
        let told = lines[start..start + length].iter().any(|l| l.trim_start().starts_with("// long: "));
        if length > LONGEST_FUNCTION && !told {
            found.push((format!("{}: {name}", source.path.display()), length));
        }
    }
    found
}

#[test]
fn long_functions_say_why() {
    let found: Vec<(String, usize)> = all().iter().chain(&outside()).flat_map(long_functions).collect();
    assert!(found.is_empty(), "more than {LONGEST_FUNCTION} lines, split or give a reason: {found:#?}");
}

#[test]
fn a_long_function_is_found() {
    let body = "        let x = 1;\n".repeat(61);
    let of = |text: String| Source { path: "a.rs".into(), code: String::new(), whole: text };
    let long = of(format!("impl A {{\n    pub(crate) fn long(&self) {{\n{body}    }}\n}}\n"));
    assert_eq!(long_functions(&long), [("a.rs: long".to_owned(), 63)]);
    let told = of(format!("impl A {{\n    fn long(&self) {{\n        // long: a table\n{body}    }}\n}}\n"));
    assert!(long_functions(&told).is_empty());
    let short = of(format!(
        "trait A {{\n    fn short(&self);\n    fn other(&self) {{\n    }}\n}}\nconst A: [u8; 61] = [\n{body}];\n"
    ));
    assert!(long_functions(&short).is_empty());
}
