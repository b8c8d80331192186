//! Studies made at random, for tests of the formatter: sound syntax, and nothing else about them makes sense.

use xpipe_base::value::rng::Stream;

/// A study; the same for the same seed. Every second one has its line breaks at random, the others as few as possible.
pub(super) fn study(seed: u64) -> String {
    let mut made = Made { stream: Stream::new(seed, &["tests", "studies"]), drawn: 0, broken: seed % 2 == 1 };
    let mut out = "edition 2026\n".to_owned();
    for _ in 0..made.below(4) + 2 {
        if made.below(4) == 0 {
            out.push_str("# what follows\n");
        }
        out.push_str(&made.item());
        if made.below(6) == 0 {
            out.push_str("  # at its end");
        }
        out.push('\n');
    }
    out
}

const KEYWORDS_AS_KEYS: [&str; 4] = ["match", "for", "in", "table"];
const OPERATORS: [&str; 10] = ["or", "and", "==", "<=", ">", "..", "+", "-", "*", "/"];
/// Nesting of the expressions.
const DEEP: u32 = 2;

struct Made {
    stream: Stream,
    drawn: u64,
    broken: bool,
}

impl Made {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        self.stream.below(self.drawn, bound)
    }

    fn name(&mut self) -> String {
        const SYLLABLES: [&str; 8] = ["run", "docs", "bm25", "long", "q", "model", "teacher", "seed"];
        let count = self.below(4) + 1;
        let parts: Vec<&str> = (0..count).map(|_| SYLLABLES[self.below(8) as usize]).collect();
        format!("{}_{}", parts.join("_"), self.below(100))
    }

    fn names(&mut self) -> String {
        let count = self.below(5) + 1;
        (0..count).map(|_| self.name()).collect::<Vec<_>>().join(", ")
    }

    fn text(&mut self) -> String {
        let words = self.below(8);
        let text: Vec<String> = (0..words).map(|_| self.name()).collect();
        match self.below(3) {
            0 => format!("'{}'", text.join(" ")),
            1 => format!("\"{} {{len({})}}\"", text.join(" "), self.name()),
            _ => format!("\"{}\"", text.join(" ")),
        }
    }

    /// What separates two elements: a comma, a new line, or both. In `parens`, a comma is always there.
    fn separator(&mut self) -> String {
        if !self.broken {
            return ", ".to_owned();
        }
        match self.below(6) {
            0 => ",\n      ".to_owned(),
            1 => ",  # why\n   ".to_owned(),
            2 => ",\n\n    # why\n   ".to_owned(),
            _ => ", ".to_owned(),
        }
    }

    fn joined(&mut self, elements: &[String]) -> String {
        let mut out = String::new();
        for (i, element) in elements.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.separator());
            }
            out.push_str(element);
        }
        out
    }

    fn fields(&mut self, deep: u32) -> String {
        let count = self.below(4) + 1;
        let fields: Vec<String> = (0..count)
            .map(|_| match self.below(8) {
                0 => self.name(),
                1 => {
                    let key = KEYWORDS_AS_KEYS[self.below(4) as usize];
                    format!("{key} = {}", self.value(deep))
                }
                _ => format!("{} = {}", self.name(), self.value(deep)),
            })
            .collect();
        self.joined(&fields)
    }

    fn values(&mut self, deep: u32) -> String {
        let count = self.below(6) + 1;
        let values: Vec<String> = (0..count).map(|_| self.value(deep)).collect();
        self.joined(&values)
    }

    /// A value without operators at its outermost level.
    fn operand(&mut self, deep: u32) -> String {
        let simple = deep == 0;
        match self.below(if simple { 5 } else { 13 }) {
            0 => format!("{}", self.below(100_000)),
            1 => format!("{}.{}.{}", self.name(), self.name(), self.name()),
            2 => self.text(),
            3 => "24GiB".to_owned(),
            4 => self.name(),
            5 => format!("[{}]", self.values(deep - 1)),
            6 => format!("{}({})", self.name(), self.values(deep - 1)),
            7 => format!("{}({} = {})", self.name(), self.name(), self.value(deep - 1)),
            8 => format!("{} {{ {} }}", self.name(), self.fields(deep - 1)),
            9 => format!("{{ {} }}", self.fields(deep - 1)),
            10 => format!("{}[{} = {}].{}", self.name(), self.name(), self.value(deep - 1), self.name()),
            11 => format!("({})", self.value(deep - 1)),
            _ => self.choice(deep - 1),
        }
    }

    /// `match`, which may stand where an operand does.
    fn choice(&mut self, deep: u32) -> String {
        let count = self.below(3) + 1;
        let mut arms: Vec<String> = (0..count)
            .map(|_| {
                let labels = self.below(4) + 1;
                let labels: Vec<String> = (0..labels).map(|_| self.name()).collect();
                format!("{} => {}", labels.join(" | "), self.value(deep))
            })
            .collect();
        arms.push(format!("_ => {}", self.value(deep)));
        format!("match {} {{ {} }}", self.name(), self.joined(&arms))
    }

    fn value(&mut self, deep: u32) -> String {
        match self.below(10) {
            0 | 1 => {
                let operator = OPERATORS[self.below(10) as usize];
                format!("{} {operator} {}", self.operand(deep), self.operand(deep))
            }
            2 => {
                let terms = self.below(6) + 2;
                let terms: Vec<String> = (0..terms).map(|_| self.operand(deep)).collect();
                terms.join(["+", "-", "and"].map(|o| format!(" {o} "))[self.below(3) as usize].as_str())
            }
            3 => format!("if {} then {} else {}", self.operand(deep), self.value(deep.saturating_sub(1)), {
                self.value(deep.saturating_sub(1))
            }),
            4 => format!("-{}", self.below(100)),
            5 => format!("not {}", self.operand(deep)),
            6 => format!("{} in [{}]", self.name(), self.names()),
            _ => self.operand(deep),
        }
    }

    fn sweep(&mut self) -> String {
        match self.below(3) {
            0 => String::new(),
            1 => format!(" for {}", self.names()),
            _ => format!(" for {} where {} in [{}]", self.names(), self.name(), self.names()),
        }
    }

    fn stage(&mut self) -> String {
        let policy =
            if self.below(3) == 0 { format!(" with {{ {} }}", self.fields(0)) } else { String::new() };
        format!("stage {}{} = {} {{ {} }}{policy}", self.name(), self.sweep(), self.name(), self.fields(DEEP))
    }

    fn item(&mut self) -> String {
        match self.below(10) {
            0 => format!("use std.{} {{ {} }}", self.name(), self.names()),
            1 => format!("study {} {{ title = {} }}", self.name(), self.text()),
            2 => format!("param {}: List<Map<Int, Int>> = {}", self.name(), self.value(DEEP)),
            3 => format!("axis {} = [{}]", self.name(), self.values(1)),
            4 => format!("let {}{}: Int = {}", self.name(), self.sweep(), self.value(DEEP)),
            5 => format!("dataset {}: Corpus = {} {{ {} }}", self.name(), self.name(), self.fields(DEEP)),
            6 => self.definition(),
            7 => format!("table {} for {} {{ {} }}", self.name(), self.names(), self.fields(DEEP)),
            8 => format!("claim {} {{ expect = {} }}", self.name(), self.value(DEEP)),
            _ => self.stage(),
        }
    }

    fn definition(&mut self) -> String {
        let formals = self.below(5);
        let formals: Vec<String> =
            (0..formals).map(|_| format!("{}: Int = {}", self.name(), self.value(0))).collect();
        let body: Vec<String> = (0..self.below(3)).map(|_| self.stage()).collect();
        let (name, formals, body) = (self.name(), formals.join(", "), body.join(" "));
        format!("def {name}({formals}) -> Run {{ {body} let a = {} yield a }}", self.value(1))
    }
}
