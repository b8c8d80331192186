//! What the parser promises: the studies read without a word, mistakes are each reported once where they are, and
//! nothing panics.

use super::ast::{Expr, ExprKind, File, ItemKind, StrPart, UseFrom};
use super::mistakes::MISTAKES;
use super::{parse, parse_expr, parse_setting};
use xpipe_base::diag::{Code, Diagnostics, FileId, Severity};
use xpipe_base::value::UnaryOp;
use xpipe_testing::mutate::mutations;

const PAPER: &str = include_str!("../../../tests/data/studies/paper.xpipe");
const TUNE: &str = include_str!("../../../tests/data/studies/tune.xpipe");
const NEGATIVES: &str = include_str!("../../../tests/data/studies/negatives.xpipe");

fn read(text: &str) -> (File, Diagnostics) {
    let mut sink = Diagnostics::new();
    let file = parse(FileId(0), text, &mut sink);
    (file, sink)
}

/// `line: message | help` of each diagnostic, sorted.
fn lines(text: &str, sink: &Diagnostics) -> Vec<String> {
    let one = |d: &&xpipe_base::diag::Diagnostic| {
        let line = text[..d.primary.span.start as usize].matches('\n').count() + 1;
        let here = &text[d.primary.span.start as usize..d.primary.span.end as usize];
        format!("{line} `{here}` {}: {}", d.code, d.message)
    };
    sink.sorted().iter().map(one).collect()
}

fn expr(text: &str) -> Expr {
    let mut sink = Diagnostics::new();
    let e = parse_expr(FileId(0), text, &mut sink);
    assert!(sink.is_empty(), "{text}: {:?}", lines(text, &sink));
    e.expect("an expression")
}

#[test]
fn the_studies_read_without_a_word() {
    for (name, text, items) in [("paper", PAPER, 31), ("tune", TUNE, 18), ("negatives", NEGATIVES, 4)] {
        let (file, sink) = read(text);
        assert_eq!(lines(text, &sink), Vec::<String>::new(), "{name}");
        assert!(!file.incomplete && file.items.iter().all(|i| !i.broken), "{name}");
        assert_eq!(file.items.len(), items, "{name}");
    }
}

fn errors(sink: &Diagnostics) -> Vec<&xpipe_base::diag::Diagnostic> {
    sink.sorted().into_iter().filter(|d| d.severity == Severity::Error).collect()
}

fn line_of(text: &str, d: &xpipe_base::diag::Diagnostic) -> usize {
    text[..d.primary.span.start as usize].matches('\n').count() + 1
}

fn check_spans(text: &str, sink: &Diagnostics) {
    for d in sink.iter() {
        for span in std::iter::once(&d.primary).chain(&d.related).map(|l| l.span) {
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{d:?} in {text:?}");
        }
    }
}

#[test]
fn one_mutation_gives_few_errors_near_it() {
    let mut bad = Vec::new();
    let mut silent = 0;
    for m in mutations(PAPER, 2026, 200).into_iter().chain(mutations(TUNE, 2026, 100)) {
        let (_, sink) = read(&m.text);
        check_spans(&m.text, &sink);
        let found = errors(&sink);
        let near = found.first().is_none_or(|d| m.distance(line_of(&m.text, d)) <= 2);
        if found.len() > 3 || !near {
            bad.push(format!("{}: {}\n    {}", m.lines.0, m.what, lines(&m.text, &sink).join("\n    ")));
        }
        silent += usize::from(found.is_empty());
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    // Many mutations leave well-formed text (another name, another number); most do not.
    assert!(silent < 190, "{silent} of 300 went unnoticed");
}

/// An expression in a form to compare: operators in parentheses, everything else as it reads.
fn show(e: &Expr) -> String {
    let path = |p: &[super::ast::Ident]| p.iter().map(|i| &*i.name).collect::<Vec<_>>().join(".");
    let args = |a: &[super::ast::Arg]| {
        let one = |a: &super::ast::Arg| match &a.name {
            Some(n) => format!("{}={}", n.name, show(&a.value)),
            None => show(&a.value),
        };
        a.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match &e.kind {
        ExprKind::Bool(b) => b.to_string(),
        ExprKind::Int(i) => i.to_string(),
        ExprKind::Float(f) => format!("{f:?}"),
        ExprKind::Quantity { value, unit } => format!("{value:?}`{unit}"),
        ExprKind::Str(parts) => {
            let one = |p: &StrPart| match p {
                StrPart::Text(t) => t.to_string(),
                StrPart::Expr(e) => format!("<{}>", show(e)),
            };
            format!("s\"{}\"", parts.iter().map(one).collect::<String>())
        }
        ExprKind::Raw(t) => format!("r\"{t}\""),
        ExprKind::List(l) => format!("[{}]", l.iter().map(show).collect::<Vec<_>>().join(", ")),
        ExprKind::Record(f) => {
            let one = |f: &super::ast::Field| match &f.value {
                Some(v) => format!("{}={}", f.name.name, show(v)),
                None => f.name.name.to_string(),
            };
            format!("{{{}}}", f.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        ExprKind::Call { path: p, args: a, block } => {
            format!("{}{}{})", path(p), if *block { "(block " } else { "(" }, args(a))
        }
        ExprKind::Path(p) => path(p),
        ExprKind::Member { of, name } => format!("{}.{}", show(of), name.name),
        ExprKind::Index { of, args: a } => format!("{}[{}]", show(of), args(a)),
        ExprKind::Unary { op: UnaryOp::Neg, of } => format!("(-{})", show(of)),
        ExprKind::Unary { op: UnaryOp::Not, of } => format!("(not {})", show(of)),
        ExprKind::Binary { op, left, right } => format!("({} {op:?} {})", show(left), show(right)),
        ExprKind::In { left, right } => format!("({} in {})", show(left), show(right)),
        ExprKind::Range { from, to } => format!("({} .. {})", show(from), show(to)),
        ExprKind::If { condition, then, other } => {
            format!("(if {} then {} else {})", show(condition), show(then), show(other))
        }
        ExprKind::Match { subject, arms, .. } => {
            let one = |a: &super::ast::Arm| {
                let labels = a.labels.iter().map(|l| &*l.name).collect::<Vec<_>>().join("|");
                format!("{labels}=>{}", show(&a.value))
            };
            format!("match {} {{{}}}", path(subject), arms.iter().map(one).collect::<Vec<_>>().join("; "))
        }
        ExprKind::Error => "ERROR".to_owned(),
    }
}

#[test]
fn operators_bind_by_the_table() {
    for (text, tree) in [
        ("a or b and not c == d", "(a Or (b And (not (c Eq d))))"),
        ("not a in b and c", "((not (a in b)) And c)"),
        ("1 + 2 * -3 - 4 / 5", "((1 Add (2 Mul (-3))) Sub (4 Div 5))"),
        ("-a.b[c = 1].d * 2", "((-a.b[c=1].d) Mul 2)"),
        ("1 + 2 .. 3 * 4", "((1 Add 2) .. (3 Mul 4))"),
        ("(1 + 2) * 3", "((1 Add 2) Mul 3)"),
        ("1..5", "(1 .. 5)"),
        ("a - b - c", "((a Sub b) Sub c)"),
        ("if a then 1 else if b then 2 else 3", "(if a then 1 else (if b then 2 else 3))"),
        ("f(x, k = [1, 2,], a in [b, c])", "f(x, k=[1, 2], (a in [b, c]))"),
        ("mean(scores[eval = dl19].ndcg_10, over = seed)", "mean(scores[eval=dl19].ndcg_10, over=seed)"),
        ("{ a, b = 1 } + c", "({a, b=1} Add c)"),
        ("op { a = 1, only = 2 # c\n report = 3\n seed }", "op(block a=1, only=2, report=3, seed=seed)"),
        (
            "match ax { a | b => 1, 1_000 => 2\n 3e-6 => 3\n 'x y' => 4\n _ => 5 }",
            "match ax {a|b=>1; 1000=>2; 3e-6=>3; x y=>4; =>5}",
        ),
        ("[a\nb\n(c)]", "[a, b(c)]"),
        ("a .b", "a.b"),
        ("f(report = 1).table", "f(report=1).table"),
    ] {
        assert_eq!(show(&expr(text)), tree, "{text}");
    }
}

#[test]
fn literals() {
    for (text, tree) in [
        ("1_000", "1000"),
        ("2e-5", "2e-5"),
        ("1.5E+3", "1500.0"),
        ("2.5%", "2.5`%"),
        ("20h", "20.0`h"),
        ("24GiB", "24.0`GiB"),
        ("9223372036854775807", "9223372036854775807"),
        ("'a{b}\\n'", "r\"a{b}\\n\""),
        ("''", "r\"\""),
        (r#""a {b.c + 1} {{x}} \"q\" \n""#, "s\"a <(b.c Add 1)> {x} \"q\" \n\""),
        (r#""{f("x}", 'y}')}""#, "s\"<f(s\"x}\", r\"y}\")>\""),
        (r#""cost \${x}""#, "s\"cost $<x>\""),
        ("\"\"", "s\"\""),
    ] {
        // In a string inside a string a lone brace is written twice.
        let text = text.replace("\"x}\"", "\"x}}\"");
        assert_eq!(show(&expr(&text)), tree, "{text}");
    }
}

#[test]
fn items_of_the_paper_have_their_parts() {
    let (file, _) = read(PAPER);
    let ItemKind::Axis { name, ty, value } = &file.items[14].kind else { panic!("{:?}", file.items[14]) };
    assert_eq!((&*name.name, ty.as_ref().map(|t| &*t.name.name)), ("objective", Some("Objective")));
    let ExprKind::Record(fields) = &value.kind else { panic!("{value:?}") };
    assert_eq!(fields.len(), 6);
    assert_eq!(fields[0].docs, ["Pointwise binary cross-entropy on (query, positive, negative) triples."]);
    assert_eq!(file.items[0].docs.len(), 2);
    let uses: Vec<&super::ast::Use> = file
        .items
        .iter()
        .filter_map(|i| if let ItemKind::Use(u) = &i.kind { Some(u) } else { None })
        .collect();
    assert_eq!(uses.len(), 7);
    assert_eq!(uses[1].names.as_ref().map(Vec::len), Some(3));
    assert_eq!(uses[6].from, UseFrom::File("./negatives.xpipe".into()));
    assert_eq!(uses[6].alias.as_ref().map(|a| &*a.name), Some("negatives"));
    let model = file.items.iter().find_map(|i| match &i.kind {
        ItemKind::Stage(s) if &*s.name.name == "model" => Some((i, s)),
        _ => None,
    });
    let (item, model) = model.expect("a stage called model");
    assert_eq!(model.sweep.as_ref().map(|s| s.axes.len()), Some(3));
    assert_eq!(model.policy.len(), 6);
    let ExprKind::Call { args, block: true, .. } = &model.call.kind else { panic!("{:?}", model.call) };
    assert_eq!(args.len(), 11);
    let text = &PAPER[item.span.start as usize..item.span.end as usize];
    assert!(text.starts_with("stage model for") && text.ends_with("steps(10_000)\n}"), "{text}");
    let ItemKind::Profile { fields, only, .. } = &file.items[30].kind else { panic!("{:?}", file.items[30]) };
    assert_eq!((fields.len(), only.len(), &*only[0].axis.name), (3, 1, "backbone"));
}

#[test]
fn spans_end_with_the_last_token() {
    let text = "axis a = 1 + b # note\n\n# more\nparam n: List<Int>  = [ 1 ] # x\n";
    let (file, sink) = read(text);
    assert!(sink.is_empty());
    let of = |s: xpipe_base::diag::Span| &text[s.start as usize..s.end as usize];
    assert_eq!(of(file.items[0].span), "axis a = 1 + b");
    let ItemKind::Axis { value, .. } = &file.items[0].kind else { panic!() };
    assert_eq!(of(value.span), "1 + b");
    let ItemKind::Param { ty, default, .. } = &file.items[1].kind else { panic!() };
    assert_eq!((of(ty.span), default.as_ref().map(|d| of(d.span))), ("List<Int>", Some("[ 1 ]")));
}

#[test]
fn defs_sweeps_and_conditions() {
    let text = "\
def f(x: Corpus, k: Int = 3) -> Run {
    ## The index.
    stage index = bm25.index { corpus = x } with { cpus = 2 }
    let y for seed where seed > 1 = k
    yield search { index, depth = y }
}
table t for a, b where a in [x, y] and not b == z { rows = a }
let g for a: Int = if a == 1 then 2 else 3
";
    let (file, sink) = read(text);
    assert_eq!(lines(text, &sink), Vec::<String>::new());
    let ItemKind::Def(def) = &file.items[0].kind else { panic!() };
    assert_eq!((def.formals.len(), def.items.len(), &*def.returns.name.name), (2, 2, "Run"));
    assert_eq!(show(&def.result), "search(block index=index, depth=y)");
    let ItemKind::Table { sweep: Some(sweep), fields, .. } = &file.items[1].kind else { panic!() };
    assert_eq!(sweep.condition.as_ref().map(show).as_deref(), Some("((a in [x, y]) And (not (b Eq z)))"));
    assert_eq!(fields.len(), 1);
    let ItemKind::Let(l) = &file.items[2].kind else { panic!() };
    assert_eq!(l.ty.as_ref().map(|t| &*t.name.name), Some("Int"));
}

#[test]
fn settings_and_expressions_of_the_command_line() {
    let mut sink = Diagnostics::new();
    let (name, value) = parse_setting(FileId(9), "steps=steps(1_000)", &mut sink).expect("a setting");
    assert_eq!((&*name.name, show(&value).as_str()), ("steps", "steps(1000)"));
    assert_eq!(value.span.file, FileId(9));
    for wrong in ["steps", "steps=", "=3", "steps=(1", "steps=1 2", "a=\"x", "", "a=f(,)"] {
        let mut sink = Diagnostics::new();
        assert!(parse_setting(FileId(0), wrong, &mut sink).is_none(), "{wrong}");
        assert_eq!(sink.len(), 1, "{wrong}: {:?}", lines(wrong, &sink));
        check_spans(wrong, &sink);
    }
}

#[test]
fn mistakes_are_reported_once_where_they_are() {
    for (text, expected) in MISTAKES {
        let (_, sink) = read(text);
        assert_eq!(lines(text, &sink), *expected, "{text}");
        assert!(
            sink.iter().all(|d| !d.primary.text.is_empty() && d.help.is_some()),
            "{text}: no label or help"
        );
    }
}

#[test]
fn independent_mistakes_are_all_reported_and_nothing_else() {
    let text = "\
edition 2026
axis seed [1, 2]
stage samples for objective, seed = data.samples {
    source = match objective {
        bce => a b
        _   = c
    }
    shape = pairs(
    count = = 3
    seed
}
let t = \"abc
stage model for a = train {
    optimiser = adamw { learning_rate 1e-5, clip_norm = }
    steps = f(1, 2 3, x = g[a = ])
}
stag other = f()
let fine = 3
";
    let (file, sink) = read(text);
    let expected = [
        "2 `[` syntax::unexpected: expected `=` or `:`, found `[`",
        "5 `b` syntax::unexpected: expected `,` or a new line before `b`",
        "6 `=` syntax::foreign: `=` is written `=>` here",
        "8 `(` syntax::unclosed: this `(` is never closed",
        "9 `=` syntax::unexpected: expected a value, found `=`",
        "12 `\"abc` syntax::string: this string does not end",
        "14 `1e-5` syntax::unexpected: expected `=` or the end of the line, found `1e-5`",
        "14 `=` syntax::unexpected: expected a value after `=`",
        "15 `3` syntax::unexpected: expected `,` or a new line before `3`",
        "15 `=` syntax::unexpected: expected a value after `=`",
        "17 `stag` syntax::not_an_item: expected an item, found `stag`",
    ];
    assert_eq!(lines(text, &sink), expected);
    let broken: Vec<bool> = file.items.iter().map(|i| i.broken).collect();
    assert_eq!(broken, [false, true, true, true, true, true, false]);
    assert!(!file.incomplete);
    // Fields that could not be read keep their names.
    let ItemKind::Stage(model) = &file.items[4].kind else { panic!("{:?}", file.items[4]) };
    assert_eq!(
        show(&model.call),
        "train(block optimiser=adamw(block learning_rate=ERROR, clip_norm=ERROR), steps=f(1, 2, 3, x=g[]))"
    );
}

#[test]
fn nesting_too_deep_is_one_error() {
    let deep = |open: &str, middle: &str, close: &str| {
        format!("let x = {}{middle}{}\nlet y = 1\n", open.repeat(20_000), close.repeat(20_000))
    };
    let texts = [
        deep("(", "1", ")"),
        deep("[", "", "]"),
        deep("f(", "1", ")"),
        deep("{ a = ", "1", "}"),
        deep("if a then ", "1", " else 2"),
        deep("match a { b => ", "1", "}"),
        deep("-", "1", ""),
        deep("not ", "a", ""),
        deep("1 + ", "1", ""),
        deep("a and ", "b", ""),
        deep("a == ", "b", ""),
        deep("", "a", "[1]"),
        deep("", "a[1]", ".b"),
        format!("let x = \"{{{}}}\"\nlet y = 1\n", "1 + ".repeat(20_000)),
        format!("let x = \"{{{}1{}}}\"\nlet y = 1\n", "(".repeat(20_000), ")".repeat(20_000)),
        format!("param x: {}Int{} = 1\nlet y = 1\n", "List<".repeat(20_000), ">".repeat(20_000)),
        format!("let x = {}\nlet y = 1\n", "(".repeat(20_000)),
    ];
    for text in &texts {
        let (file, sink) = read(text);
        let found: Vec<Code> = sink.iter().map(|d| d.code).collect();
        assert_eq!(found, [Code::SyntaxDeep], "{}", &text[..40]);
        assert_eq!(file.items.len(), 2, "{}", &text[..40]);
    }
}

#[test]
fn the_deepest_that_is_read_fits_a_small_stack() {
    let nest = |n: usize, open: &str, middle: &str, close: &str| {
        format!("let x = {}{middle}{}\n", open.repeat(n), close.repeat(n))
    };
    let texts = [
        nest(63, "(", "1", ")"),
        nest(63, "f(", "1", ")"),
        nest(63, "[", "1", "]"),
        nest(63, "{ a = ", "1", "}"),
        nest(60, "if a then ", "b", " else c"),
        nest(30, "match a { b => (", "1", ") }"),
        nest(250, "-", "1", ""),
        nest(250, "1 + ", "1", ""),
        nest(60, "", "a", "[1]"),
        nest(24, "\"{", "1", "}\""),
        format!("param x: {}Int{} = 1\n", "List<".repeat(120), ">".repeat(120)),
    ];
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let read_all = move || texts.iter().map(|t| lines(t, &read(t).1)).collect::<Vec<_>>();
    let found = small.spawn(read_all).expect("a thread").join().expect("no overflow");
    assert!(found.iter().all(Vec::is_empty), "{found:?}");
}

#[test]
fn what_people_write_is_not_too_deep() {
    let list: String = (0..5000).map(|i| format!("    {{ a = f(x{i}, -{i}), b = [1, 2] }}\n")).collect();
    let fields: String =
        (0..5000).map(|i| format!("    a{i}\n    b{i} = if c then {i} else g[{i}].h - 1\n")).collect();
    let names: String = (0..5000).map(|i| format!("    x{i}.y\n")).collect();
    let text = format!(
        "let a = [\n{list}]\nstudy s {{\n{fields}}}\nlet b = [\n{names}]\nlet n = {}1{}\n",
        "(".repeat(50),
        ")".repeat(50)
    );
    let (file, sink) = read(&text);
    assert_eq!(lines(&text, &sink), Vec::<String>::new());
    assert_eq!(file.items.len(), 4);
}

#[test]
fn windows_line_ends_and_byte_order_marks_are_blanks() {
    let text = format!("\u{feff}{}", PAPER.replace('\n', "\r\n"));
    let (file, sink) = read(&text);
    assert_eq!(lines(&text, &sink), Vec::<String>::new());
    assert_eq!(file.items.len(), 31);
    assert!(file.items[0].docs.iter().all(|d| !d.contains('\r')));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let (_, sink) = read(&text);
        check_spans(&text, &sink);
    }

    #[test]
    fn no_heap_of_tokens_makes_it_panic(tokens in proptest::collection::vec(proptest::sample::select(vec![
        "let", "stage", "axis", "x", "=", "==", "=>", "->", "{", "}", "(", ")", "[", "]", "\"", "'", ",", "\n", "\n",
        "\n    ", " ", "#", "##", "if", "then", "else", "match", "for", "where", "in", "with", "def", "yield", "use",
        "as", "1", "2.5%", "1e", "..", ".", "+", "-", "<", "not", "and", ":", ";", "\\", "$", "//", "/*", "é", "_", "\r\n",
        "\ttable", "param", "only", "profile",
    ]), 0..60)) {
        let text = tokens.concat();
        let (_, sink) = read(&text);
        check_spans(&text, &sink);
        let mut sink = Diagnostics::new();
        parse_expr(FileId(0), &text, &mut sink);
        check_spans(&text, &sink);
        let mut sink = Diagnostics::new();
        parse_setting(FileId(0), &text, &mut sink);
        check_spans(&text, &sink);
    }
}
