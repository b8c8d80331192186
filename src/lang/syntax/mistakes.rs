//! Texts with mistakes, and the diagnostics of each.

/// Each text with what is reported: line, the marked text, code, message.
pub(super) const MISTAKES: &[(&str, &[&str])] = &[
    ("axis seed [1, 2, 3]", &["1 `[` syntax::unexpected: expected `=` or `:`, found `[`"]),
    ("axis a =\nlet b = 2", &["1 `=` syntax::unexpected: expected a value after `=`"]),
    (
        "let x = a && b || !c",
        &[
            "1 `&&` syntax::foreign: `&&` is written `and` here",
            "1 `||` syntax::foreign: `||` is written `or` here",
            "1 `!` syntax::foreign: `!` is written `not` here",
        ],
    ),
    ("let x = True", &["1 `True` syntax::foreign: `True` is written `true` here"]),
    ("stage s foreach a = f()", &["1 `foreach` syntax::foreign: expected `=` or `for`, found `foreach`"]),
    ("stage s for a in b = f()", &["1 `in` syntax::unexpected: expected `=` or `where`, found `in`"]),
    ("let x := 3", &["1 `:=` syntax::foreign: expected `=`, `:` or `for`, found `:=`"]),
    (
        "study s { title: 'x'\n a == 3\n b := 2 }",
        &[
            "1 `:` syntax::foreign: a field is given with `=`",
            "2 `==` syntax::foreign: `==` is written `=` here",
            "3 `:=` syntax::foreign: `:=` is written `=` here",
        ],
    ),
    (
        "// a\nlet x = 1 // y\n/* b\nc */\nlet y = 2",
        &[
            "1 `// a` syntax::foreign: a comment is written `#`, not `//`",
            "2 `// y` syntax::foreign: a comment is written `#`, not `//`",
            "3 `/* b` syntax::foreign: a comment is written `#`, not `/*`",
        ],
    ),
    ("let x = if a then 1", &["1 `1` syntax::unexpected: expected `else` after `1`"]),
    ("let x = if a { 1 } else { 2 }", &["1 `else` syntax::unexpected: expected `then`, found `else`"]),
    (
        "let x = if a then 1 elif b then 2 else 3",
        &["1 `elif` syntax::foreign: `elif` is written `else if` here"],
    ),
    ("let x = a ? b : c", &["1 `?` syntax::foreign: expected the end of the line, found `?`"]),
    ("let x = \"${a} {b\"", &["1 `{` syntax::string: `{` in a string is never closed"]),
    ("let x = \"${a}\"", &["1 `{a}` syntax::foreign: `${…}` is written `{…}`"]),
    ("let x = \"abc # d\nlet y = 1", &["1 `\"abc` syntax::string: this string does not end"]),
    (
        "let x = \"\\q }\"",
        &[
            "1 `\\q` syntax::string: unknown escape `\\q`",
            "1 `}` syntax::string: `}` closes nothing in this string",
        ],
    ),
    ("param steps = Budget", &["1 `=` syntax::unexpected: expected `:`, found `=`"]),
    ("def f(x: T) { yield x }", &["1 `{` syntax::unexpected: expected `->`, found `{`"]),
    ("def f(x) -> R { yield x }", &["1 `x` syntax::unexpected: expected `:` after `x`"]),
    ("def f() -> R { stage s = f() }", &["1 `}` syntax::unexpected: this `def` yields nothing"]),
    (
        "stage s = if a then f() else g()",
        &["1 `if a then f() else g()` syntax::not_a_call: a stage is one call"],
    ),
    ("let x = f(a, , b)", &["1 `,` syntax::unexpected: expected an argument before `,`"]),
    ("let x = [a b c]", &["1 `b` syntax::unexpected: expected `,` or a new line before `b`"]),
    ("let x = 99999999999999999999", &["1 `99999999999999999999` syntax::number: number is too large"]),
    ("let x = 1e999", &["1 `1e999` syntax::number: number is too large"]),
    ("let x = 0x10", &["1 `0x10` syntax::unexpected: expected a value, found `0x10`"]),
    (
        "let x = match a { b -> 1, c: 2, d }",
        &[
            "1 `->` syntax::foreign: `->` is written `=>` here",
            "1 `:` syntax::foreign: `:` is written `=>` here",
            "1 `d` syntax::unexpected: expected `=>` after `d`",
        ],
    ),
    ("let x = a { b => 1\n c | d => 2 }", &["1 `a` syntax::unexpected: expected `match` before this"]),
    ("let x = a < b < c", &["1 `<` syntax::unexpected: comparisons do not chain"]),
    ("let x = g[a == b]", &["1 ` == ` syntax::foreign: `==` is written `=` here"]),
    ("let x = ()", &["1 `)` syntax::unexpected: expected a value"]),
    ("let x = - ", &["1 `-` syntax::unexpected: expected a value after `-`"]),
    ("x = 3", &["1 `x` syntax::not_an_item: expected an item, found `x`"]),
    ("process foo { }", &["1 `process` syntax::not_an_item: expected an item, found `process`"]),
    ("  let x = 3", &["1 `let` syntax::not_an_item: an item starts in column 0"]),
    ("let x = 3;\nlet y = 4", &["1 `;` syntax::foreign: expected the end of the line, found `;`"]),
    (
        "profile p { only a [x]\n seeds = }",
        &[
            "1 `a` syntax::unexpected: expected `=`, found `a`",
            "2 `=` syntax::unexpected: expected a value after `=`",
        ],
    ),
    ("stage s = f {\n a = 1\n b = (2\n c = 3\n}", &["3 `(` syntax::unclosed: this `(` is never closed"]),
    (
        "stage s = f {\n  a = 1\n  b = 2\n  c = 2\nlet z = 3",
        &["4 `2` syntax::unclosed: expected `}` after `2`"],
    ),
    ("stage s = f\n  a = 1\n}", &["1 `f` syntax::unopened: expected `{` after `f`"]),
    ("let x = [1, 2)", &["1 `)` syntax::unclosed: `[` is closed by `)`"]),
    ("let x = f(1))", &["1 `)` syntax::unopened: this `)` closes nothing"]),
    ("## lonely", &["1 `## lonely` syntax::dangling_doc: this `##` documents nothing"]),
    // What people type who come from another language.
    (
        "let a = f\"depth {1}\"\nlet b = r'x'",
        &[
            "1 `f` syntax::foreign: a string has no prefix `f`",
            "2 `r` syntax::foreign: a string has no prefix `r`",
        ],
    ),
    (
        "let a = \"\"\"one\ntwo\"\"\"\nlet b = 2",
        &["1 `\"\"\"one` syntax::foreign: a string stands on one line, between single `\"`"],
    ),
    ("axis k = (1, 2)", &["1 `,` syntax::foreign: a list stands in `[…]`"]),
    ("let a = f((1, 2), b)", &["1 `,` syntax::foreign: a list stands in `[…]`"]),
    (
        "stage s = f {\n  depth = 5 if k == 1 else 10\n  b = 2\n}",
        &["2 `if` syntax::foreign: the condition of a choice stands before its values"],
    ),
    (
        "stage s = f { a = 1 } with { memory = 2 GiB, time = 20 h }",
        &["1 `2 GiB` syntax::foreign: `2 GiB` is written `2GiB`"],
    ),
    ("let a = 5 %", &["1 `5 %` syntax::foreign: `5 %` is written `5%`"]),
    (
        "axis größe = [5, 10]\nstage f for größe = g { größe }",
        &["1 `größe` syntax::unexpected: the name `größe` has letters other than a to z"],
    ),
    (
        "let a = “hello”\nlet b = ‘x’",
        &[
            "1 `“hello”` syntax::foreign: a string stands between straight quotes",
            "2 `‘x’` syntax::foreign: a string stands between straight quotes",
        ],
    ),
    ("let a = «hello» + f(1,, 2)", &["1 `«hello»` syntax::foreign: a string stands between straight quotes"]),
    (
        "stage f = g {\u{a0} index, b\u{200b} = 2 }",
        &["1 `\u{a0}` syntax::unexpected: found a no-break space (U+00A0), expected a space"],
    ),
    (
        "stage f = g {\n\u{3000}index\n}",
        &["2 `\u{3000}` syntax::unexpected: found an ideographic space (U+3000), expected a space"],
    ),
    (
        "let a = f(\"--cfg\", \"{\\\"a\\\": 1}\", 2)",
        &["1 `\"{\\\"a\\\": 1}\"` syntax::string: `{` starts a value in this string"],
    ),
    ("stage f for k where k = 1 = g { a = 1 }", &["1 `=` syntax::foreign: a comparison is written `==`"]),
    ("table t for k where k = 1 {\n  rows = k\n}", &["1 `=` syntax::foreign: a comparison is written `==`"]),
    ("let a = if k = 1 then 2 else 3", &["1 `=` syntax::foreign: a comparison is written `==`"]),
    (
        "stage f = g {\n  stage h = i { a = 1 }\n  index = h\n}",
        &["2 `stage h` syntax::not_an_item: `stage` stands in column 0, not inside another item"],
    ),
    ("let a = 2 ** 4", &["1 `**` syntax::foreign: there is no operator for powers"]),
    ("let a = 2 ^ 4", &["1 `^` syntax::foreign: there is no operator for powers"]),
    ("let a = first >> second", &["1 `>>` syntax::foreign: stages are not joined by an operator"]),
    ("let a = first | second", &["1 `|` syntax::foreign: stages are not joined by an operator"]),
    ("let a = first |> second", &["1 `|` syntax::foreign: stages are not joined by an operator"]),
    ("let a = [x for x in y]", &["1 `for` syntax::foreign: lists are not made by loops"]),
    ("let a = lambda x: x", &["1 `lambda` syntax::foreign: there are no anonymous functions"]),
    (
        "let a = { \"a\": 1, 'b': 2 }",
        &[
            "1 `\"a\"` syntax::foreign: the name of a field stands without quotes",
            "1 `'b'` syntax::foreign: the name of a field stands without quotes",
        ],
    ),
    ("let a = x is y", &["1 `is` syntax::foreign: `is` compares nothing here"]),
    ("let a = x not in y", &["1 `not` syntax::foreign: `not` compares nothing here"]),
    ("let a = 1 + \\\n  2", &["1 `\\` syntax::foreign: lines are not joined by `\\`"]),
    ("let a = if x: 1 else: 2", &["1 `:` syntax::foreign: `then` follows the condition of a choice"]),
    (
        "stage a = f { x = 1 }\nfor k in [1, 2]:\n    stage b = g { k }\n    stage c = g { k }\nlet d = = 2",
        &[
            "2 `for k in [1, 2]:` syntax::foreign: `for` starts no block: a study has no statements",
            "5 `=` syntax::unexpected: expected a value, found `=`",
        ],
    ),
    (
        "for k in ks:\n    stage b = g { k }\n",
        &["1 `for k in ks:` syntax::foreign: `for` starts no block: a study has no statements"],
    ),
    (
        "if x == 1:\n    let a = 2\nlet b = 3",
        &["1 `if x == 1:` syntax::foreign: `if` starts no block: a study has no statements"],
    ),
    ("let a = x += 2", &["1 `+=` syntax::foreign: a name is given its value once"]),
    ("let a = [1, 2, 3;]", &["1 `;` syntax::foreign: expected the end of the line, found `;`"]),
    ("import numpy\nlet a = 1", &["1 `import` syntax::not_an_item: expected an item, found `import`"]),
    ("let a = b ? c : d", &["1 `?` syntax::foreign: expected the end of the line, found `?`"]),
    (
        "let a = not(b) && !c",
        &[
            "1 `&&` syntax::foreign: `&&` is written `and` here",
            "1 `!` syntax::foreign: `!` is written `not` here",
        ],
    ),
    ("stage s = f(a = 1) with (gpu = 1)", &["1 `(` syntax::unexpected: expected `{`, found `(`"]),
    ("axis k = [1 2 3]", &["1 `2` syntax::unexpected: expected `,` or a new line before `2`"]),
    ("axis k = 1, 2, 3", &["1 `,` syntax::foreign: a list stands in `[…]`"]),
    ("param n = 3", &["1 `=` syntax::unexpected: expected `:`, found `=`"]),
    ("let a = b.c.0", &["1 `0` syntax::foreign: a name follows `.`"]),
    ("table t { test = paired_t(against = k1.0.9) }", &["1 `0.9` syntax::foreign: a name follows `.`"]),
    ("let a = f(x.\"a b\")", &["1 `\"a b\"` syntax::foreign: a name follows `.`"]),
    ("let a = 'it''s'", &["1 `'it''s'` syntax::foreign: a string between `'` holds no `'`"]),
];
