//! Did you mean: close names, and the names other tools use.

/// How alike two names must be (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// Names of other tools, and ours.
const FOREIGN: &[(&str, &str)] = &[
    ("lr", "learning_rate"),
    ("learn_rate", "learning_rate"),
    ("wd", "weight_decay"),
    ("decay", "weight_decay"),
    ("epoch", "epochs"),
    ("num_epochs", "epochs"),
    ("num_train_epochs", "epochs"),
    ("max_steps", "steps"),
    ("num_steps", "steps"),
    ("iterations", "steps"),
    ("batch_size", "batch"),
    ("bs", "batch"),
    ("train_batch_size", "batch"),
    ("scheduler", "schedule"),
    ("lr_scheduler", "schedule"),
    ("warmup_steps", "warmup"),
    ("warmup_ratio", "warmup"),
    ("optimizer", "optimiser"),
    ("optim", "optimiser"),
    ("loss", "objective"),
    ("criterion", "objective"),
    ("loss_fn", "objective"),
    ("encoder", "backbone"),
    ("base_model", "backbone"),
    ("pretrained", "backbone"),
    ("model_name", "backbone"),
    ("random_seed", "seed"),
    ("random_state", "seed"),
    ("manual_seed", "seed"),
    ("temp", "temperature"),
    ("tau", "temperature"),
    ("num_negatives", "negatives"),
    ("n_neg", "negatives"),
    ("topk", "depth"),
    ("top_k", "depth"),
    ("num_hits", "depth"),
    ("hits", "depth"),
    ("max_length", "input"),
    ("max_seq_length", "input"),
    ("grad_clip", "clip_norm"),
    ("max_grad_norm", "clip_norm"),
    ("dtype", "precision"),
    ("topics", "queries"),
    ("documents", "docs"),
    ("qrel", "qrels"),
    ("judgements", "qrels"),
    ("judgments", "qrels"),
    ("metric", "metrics"),
    ("measures", "metrics"),
    ("license", "licence"),
    ("author", "authors"),
    ("cols", "columns"),
    ("map", "ap"),
    ("precision_at", "p"),
    ("recip_rank", "rr"),
    ("success_at", "success"),
    ("memory_gpu", "vram"),
    ("gpus", "gpu"),
    ("timeout", "time"),
    ("walltime", "time"),
    ("Optimizer", "Optimiser"),
    ("Str", "String"),
    ("str", "String"),
    ("int", "Int"),
    ("float", "Float"),
    ("bool", "Bool"),
    ("boolean", "Bool"),
    ("Integer", "Int"),
    ("Double", "Float"),
    ("Dataset", "TestCollection"),
    ("Loss", "Objective"),
];

/// Our name for what other tools call `name`; `None` when there is none (`mrr` is ours too).
pub fn foreign_name(name: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
}

/// Values that other languages have a name for and we have not, with what to write.
const VALUES: &[(&[&str], &str)] = &[
    (
        &["None", "null", "nil", "NULL", "Null", "undefined", "NA", "nullptr", "void"],
        "there is no empty value: leave the argument out, or choose with `if … then … else …`",
    ),
    (
        &["nan", "NaN", "inf", "Infinity", "Inf"],
        "every number is finite: leave the argument out, or write a number",
    ),
    (&["yes", "on", "YES", "Yes"], "write `true`"),
    (&["no", "off", "NO", "No"], "write `false`"),
    (&["self", "this"], "items are known by their names alone"),
];

/// Calls of other languages, with what to write.
const CALLS: &[(&[&str], &str)] = &[
    (&["lambda", "function"], "declare a `def`, and call it by its name"),
    (&["range", "seq", "arange"], "a range is written with both its ends: `1 .. 3` is 1, 2, 3"),
    (&["print", "echo", "puts"], "declare a `table`: `run` and `show` print it"),
    (&["str", "String", "repr", "format", "sprintf", "paste"], "put the value into a string: `\"{x}\"`"),
    (
        &["int", "float", "bool", "Int", "Float", "as_int"],
        "values are not converted: write the number as it is meant",
    ),
    (&["list", "tuple", "set", "c", "array"], "a list is written `[1, 2, 3]`"),
    (&["dict", "object", "Map", "namedlist"], "a record is written `{ a = 1, b = 2 }`"),
    (
        &["map", "filter", "zip", "enumerate", "reduce", "lapply", "apply", "product"],
        "declare the values as an `axis`, and write `for` after the name of the stage",
    ),
    (&["average", "avg", "sum"], "write `mean(…)`"),
    (&["std", "stdev", "stddev"], "write `sd(…)`"),
    (&["length", "size", "count", "nrow"], "write `len(…)`"),
    (&["round"], "`digits` of a table says how many digits are printed"),
    (&["pow", "exp", "log", "sqrt", "abs"], "write the number itself"),
    (
        &["open", "read", "read_csv", "load", "file", "path"],
        "files are named by `local`, `import.…` or `csv`: see `xpipe describe local`",
    ),
    (
        &["env", "getenv", "environ", "argv"],
        "declare a `param`, and give its value with `--set 'name=value'`",
    ),
    (&["glob", "listdir"], "a folder may be given where files are read; write the other paths out"),
    (&["isinstance", "type", "typeof"], "types are known before the run; choose by `match` over an axis"),
];

/// What to write instead of a value that other languages have.
pub fn foreign_value(name: &str) -> Option<&'static str> {
    VALUES.iter().find(|(names, _)| names.contains(&name)).map(|(_, help)| *help)
}

/// What to write instead of a call that other languages have.
pub fn foreign_call(name: &str) -> Option<&'static str> {
    CALLS.iter().find(|(names, _)| names.contains(&name)).map(|(_, help)| *help)
}

/// The candidates close to a name, the closest first, at most three.
pub fn close_names<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let mut found: Vec<(f64, &str)> = Vec::new();
    for candidate in candidates {
        if candidate == name || found.iter().any(|(_, c)| *c == candidate) {
            continue;
        }
        let alike = if foreign_name(name) == Some(candidate) || candidate.to_lowercase() == lower {
            2.0
        } else {
            strsim::jaro_winkler(name, candidate)
        };
        if alike >= ALIKE {
            found.push((alike, candidate));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    if found.first().is_some_and(|(alike, _)| *alike > 1.0) {
        found.retain(|(alike, _)| *alike > 1.0);
    }
    found.into_iter().take(3).map(|(_, c)| c).collect()
}

/// "did you mean `x`?" over names in scope and of the right kind; `None` when none is close.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let close: Vec<String> = close_names(name, candidates).into_iter().map(|c| format!("`{c}`")).collect();
    match close.as_slice() {
        [] => None,
        [one] => Some(format!("did you mean {one}?")),
        [all @ .., last] => Some(format!("did you mean {} or {last}?", all.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_come_closest_first_and_at_most_three() {
        let names = ["bert_base", "electra", "bert_large", "roberta", "bert_bas1", "bert_bas2"];
        assert_eq!(
            did_you_mean("bert_bas", ["electra", "bert_base"]).as_deref(),
            Some("did you mean `bert_base`?")
        );
        assert_eq!(close_names("bert_bas", names).len(), 3);
        assert_eq!(did_you_mean("zzz", names), None);
    }

    #[test]
    fn names_of_other_tools_lead_to_ours() {
        let names = ["learning_rate", "clip_norm", "l"];
        assert_eq!(did_you_mean("lr", names).as_deref(), Some("did you mean `learning_rate`?"));
        assert_eq!(did_you_mean("BERT", ["bert", "berg"]).as_deref(), Some("did you mean `bert`?"));
        assert_eq!(foreign_name("mrr"), None);
    }

    #[test]
    fn several_are_joined() {
        assert_eq!(
            did_you_mean("dl10", ["dl19", "dl20", "dl18"]).as_deref(),
            Some("did you mean `dl18`, `dl19` or `dl20`?")
        );
    }
}
