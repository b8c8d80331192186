//! Which sources, shapes, batches and objectives are compatible, judged by arguments alone; and checks of arguments that
//! several operations share.
//!
//! A check reports what is surely wrong and nothing else: a source that is not known until it is read, or a number that
//! depends on a result, is no issue.

use crate::train::objectives::{Definition, Teacher};
use xpipe_base::diag::Code;
use xpipe_base::value::{Call, Record, Value};
use xpipe_lang::types::SampleForm;
use xpipe_lang::types::op::{Facts, Issue};

/// The documentation of the argument `precision`.
pub(super) const PRECISION: &str = "fp32, or bf16: operands of matrix products are rounded to bfloat16; sums, norms, \
                                    softmax, activations and weights stay fp32.";

/// An issue with an argument.
pub(super) fn issue(
    code: Code,
    argument: &'static str,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Issue {
    Issue { code, argument, message: message.into(), help: Some(help.into()) }
}

/// An issue with a whole number below its minimum.
pub(super) fn at_least(args: &Record, argument: &'static str, least: i64) -> Option<Issue> {
    let n = args.get(argument).and_then(Value::as_int).filter(|n| *n < least)?;
    let help = format!("write a number from {least} up");
    Some(issue(Code::OutOfRange, argument, format!("`{argument}` is {n}"), help))
}

/// An issue with a number outside a half-open range.
pub(super) fn in_range(args: &Record, argument: &'static str, least: f64, below: f64) -> Option<Issue> {
    let x = args.get(argument).and_then(Value::as_f64).filter(|x| !(least..below).contains(x))?;
    let help = match (least > 0.0, below.is_finite()) {
        (true, _) => "write a number above 0".to_owned(),
        (false, false) => format!("write a number from {least} up"),
        (false, true) => format!("write a number from {least} up and below {below}"),
    };
    Some(issue(Code::OutOfRange, argument, format!("`{argument}` is {x}"), help))
}

/// An issue with an argument that another operation than the one needed makes.
pub(super) fn made_by(
    args: &Record,
    argument: &'static str,
    needed: &str,
    facts: &dyn Facts,
) -> Option<Issue> {
    let found = args.get(argument).and_then(|v| facts.op(v)).filter(|op| *op != needed)?;
    let message = format!("`{argument}` is made by `{found}`");
    Some(issue(Code::OutOfRange, argument, message, format!("it must be made by `{needed}`")))
}

/// The argument, or what it would be derived from.
pub(super) fn derived(args: &Record, facts: &dyn Facts, name: &str, from: &str) -> Value {
    match args.get(name) {
        Some(v) if *v != Value::Null => v.clone(),
        _ => args.get(from).and_then(|v| facts.find(v, name)).unwrap_or_default(),
    }
}

/// Issues of a shape over a source.
pub(super) fn shape_over_source(shape: &Call, source: &Value, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    let Some(form) = SampleForm::of(&shape.name) else {
        issues.push(issue(
            Code::OpShapeFit,
            "shape",
            format!("`{}` is not a shape of samples", shape.name),
            "write `pairs()`, `group(positives = 1, negatives = 7)` or `ranked_list(depth = 50)`",
        ));
        return issues;
    };
    if form == SampleForm::Pairs && shape.args.get("n").is_some_and(|n| *n != Value::Null) {
        issues.push(issue(
            Code::OpShapeFit,
            "shape",
            "`pairs(n)` is a batch, and a shape is wanted here",
            "write `pairs()`; the number of pairs in a step is the `batch` of the training",
        ));
    }
    let size = |name: &str| shape.args.get(name).and_then(Value::as_int);
    let offered = facts.supervision(source);
    if let Some(forms) = offered.forms.as_ref().filter(|f| !f.contains(&form)) {
        let names: Vec<String> = forms.iter().map(|f| format!("`{}`", f.name())).collect();
        issues.push(issue(
            Code::OpShapeFit,
            "shape",
            format!("the source gives {}, and not `{}`", names.join(", "), form.name()),
            "ask for a shape that the source gives, or make it a `candidates { run, qrels }` source",
        ));
        return issues;
    }
    if form != SampleForm::RankedList && offered.judged == Some(false) {
        issues.push(issue(
            Code::OpShapeFit,
            "source",
            format!("`{}` needs positives, and the source has no judgements", form.name()),
            "give `candidates` the `qrels` of the collection",
        ));
    }
    if let (SampleForm::Group | SampleForm::Pairs, Some(depth)) = (form, offered.depth) {
        let positives = size("positives").unwrap_or(1);
        let negatives = size("negatives").unwrap_or(1);
        let window = (depth - offered.first_rank + 1).max(0);
        if negatives > window || positives + negatives > depth {
            issues.push(issue(
                Code::OpTooManyNegatives,
                "shape",
                format!("{negatives} negatives and {positives} positives of each query, from {window} ranks of a run"),
                "retrieve deeper, or ask for fewer negatives",
            ));
        }
    }
    issues
}

/// Issues of the parts of an objective over samples of a shape drawn from a source. One issue covers
/// all of its parts.
pub(super) fn objective_over_samples(
    parts: &[(&'static Definition, &Call)],
    shape: &Call,
    source: &Value,
    facts: &dyn Facts,
) -> Vec<Issue> {
    let Some(form) = SampleForm::of(&shape.name) else { return Vec::new() };
    let unfit: Vec<&Definition> =
        parts.iter().map(|(d, _)| *d).filter(|d| !d.forms.contains(&form)).collect();
    if let [first, others @ ..] = unfit.as_slice() {
        let wanted: Vec<String> = first
            .forms
            .iter()
            .filter(|f| others.iter().all(|d| d.forms.contains(f)))
            .map(|f| format!("`{}`", f.name()))
            .collect();
        let fitting = first.forms.iter().find(|f| parts.iter().all(|(d, _)| d.forms.contains(f)));
        return vec![issue(
            Code::OpShapeFit,
            "data",
            format!(
                "{} from {}, and these samples are `{}`",
                names(&unfit, "learns", "learn"),
                wanted.join(" or "),
                form.name()
            ),
            format!("draw the samples with `shape = {}(…)`", fitting.unwrap_or(&first.forms[0]).name()),
        )];
    }
    if facts.supervision(source).scored != Some(false) {
        return Vec::new();
    }
    // The order of a ranked list is a preference in itself.
    let most = if form == SampleForm::RankedList { Teacher::Order } else { Teacher::Nothing };
    let asking: Vec<&Definition> =
        parts.iter().filter(|(d, call)| d.asks(Some(call)) > most).map(|(d, _)| *d).collect();
    if asking.is_empty() {
        return Vec::new();
    }
    let (documents, given) = match form {
        SampleForm::Pairs => ("both documents of a pair", "the source has none"),
        SampleForm::Group => ("each document of a group", "the source has none"),
        SampleForm::RankedList => ("each document of a list", "the source gives only an order"),
    };
    vec![issue(
        Code::OpNeedsTeacher,
        "data",
        format!("{} a teacher score for {documents}, and {given}", names(&asking, "needs", "need")),
        "score them first: `stage scored = score.cross_encoder { model = …, run = … }`, then \
         `candidates { run, qrels, scores = scored }`",
    )]
}

/// "`kl` needs", "`kl` and `mse` need".
fn names(of: &[&Definition], one: &str, several: &str) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in of.iter().map(|d| format!("`{}`", d.name.trim_start_matches("objective."))) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    format!("{} {}", names.join(" and "), if names.len() == 1 { one } else { several })
}

/// Issues of a batch over samples of a shape.
pub(super) fn batch_over_shape(batch: &Call, shape: Option<&Call>) -> Vec<Issue> {
    let n = batch.args.get("n").unwrap_or(&Value::Null);
    if *n == Value::Null {
        let help = "write `pairs(32)` or `queries(8)`";
        return vec![issue(Code::OpShapeFit, "batch", "the batch has no size", help)];
    }
    let Some(form) = shape.and_then(|s| SampleForm::of(&s.name)) else { return Vec::new() };
    let wanted = if form == SampleForm::Pairs { "pairs" } else { "queries" };
    if &*batch.name == wanted {
        return Vec::new();
    }
    let size = n.as_int().map_or_else(|| "n".to_owned(), |n| n.to_string());
    vec![issue(
        Code::OpShapeFit,
        "batch",
        format!("a batch of `{}` over samples of shape `{}`", batch.name, form.name()),
        format!("write `{wanted}({size})`"),
    )]
}
