use super::*;
use crate::ir::analysis::Analysis;

fn list(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    tokens(text, &mut |t| out.push(t));
    out
}

/// Cases of Lucene's TestStandardAnalyzer.
#[test]
fn cases_of_lucene() {
    assert_eq!(list("O'Reilly"), ["O'Reilly"]);
    assert_eq!(list("you're"), ["you're"]);
    assert_eq!(list("O'Reilly's"), ["O'Reilly's"]);
    assert_eq!(list("some-dashed-phrase"), ["some", "dashed", "phrase"]);
    assert_eq!(list("21.35"), ["21.35"]);
    assert_eq!(list("R2D2 C3PO"), ["R2D2", "C3PO"]);
    assert_eq!(list("216.239.63.104"), ["216.239.63.104"]);
    assert_eq!(list("1-2"), ["1", "2"]);
    assert_eq!(list("foobar@example.com"), ["foobar", "example.com"]);
    assert_eq!(list("AT&T"), ["AT", "T"]);
    assert_eq!(list("U.S.A."), ["U.S.A"]);
    assert_eq!(list("_ab_c __ _"), ["_ab_c"]);
    assert_eq!(list("a:b"), ["a:b"]);
    assert_eq!(list("3ns_2 2.0m"), ["3ns_2", "2.0m"]);
    let words = ["我", "是", "中", "国", "人", "１２３４", "Ｔｅｓｔｓ"];
    assert_eq!(list("我是中国人。 １２３４ Ｔｅｓｔｓ "), words);
    assert_eq!(list("仮名遣い カタカナ"), ["仮", "名", "遣", "い", "カタカナ"]);
    assert_eq!(list("안녕하세요 한글입니다"), ["안녕하세요", "한글입니다"]);
    assert_eq!(list("การที่ได้ต้องแสดงว่างานดี. แล้ว"), ["การที่ได้ต้องแสดงว่างานดี", "แล้ว"]);
    assert_eq!(list("💩 💩💩"), ["💩", "💩", "💩"]);
    assert_eq!(list("naïve—café"), ["naïve", "café"]);
}

#[test]
fn every_pictograph_is_a_token() {
    assert_eq!(list("x² ½ ©"), ["x", "©"]);
    assert_eq!(list("Brand® ™ ★★ a↔b ▪ ♥"), ["Brand", "®", "™", "★", "★", "a", "↔", "b", "▪", "♥"]);
    // Not emoji: other symbols.
    assert_eq!(list("§ ¶ † → ∞ £"), Vec::<&str>::new());
}

#[test]
fn sequences_of_emoji_are_one_token() {
    let family = "👩\u{200D}👩\u{200D}👧";
    let scotland = "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}";
    let one = ["❤\u{FE0F}", "1\u{FE0F}\u{20E3}", "#\u{20E3}", "🇫🇷", "☝🏽", family, scotland];
    for emoji in one {
        assert_eq!(list(emoji), [emoji]);
        assert_eq!(list(&format!("is {emoji}.")), ["is", emoji]);
    }
    assert_eq!(list("🇫🇷🇩🇪"), ["🇫🇷", "🇩🇪"]);
    // Text style ends an emoji and belongs to none; half a flag, and # without a keycap, are nothing.
    assert_eq!(list("©\u{FE0E}x 🇫 #"), ["©", "x"]);
}

fn read(hex: &str) -> String {
    let point = |h| char::from_u32(u32::from_str_radix(h, 16).unwrap()).unwrap();
    hex.split_whitespace().map(point).collect()
}

/// Random texts of all classes of characters; `tests/data/analysis/LuceneTokens.java` asked Lucene 9.9.1.
#[test]
fn equals_lucene() {
    let text = include_str!("../../../../tests/data/analysis/tokens.tsv");
    for (i, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [how, text, expected] = cells[..] else { panic!("line {}", i + 1) };
        let text = read(text);
        let expected: Vec<String> = expected.split(',').filter(|t| !t.is_empty()).map(read).collect();
        match how {
            "standard" => assert_eq!(list(&text), expected, "line {}", i + 1),
            "english" => assert_eq!(Analysis::English.list(&text), expected, "line {}", i + 1),
            _ => panic!("line {}", i + 1),
        }
    }
    assert_eq!(text.lines().count(), 1500);
}

#[test]
fn a_cut_never_ends_within_a_rule() {
    // 254 letters and an apostrophe would be 255 units; a token does not end in an apostrophe.
    let long = format!("{}'y", "x".repeat(254));
    assert_eq!(list(&long).iter().map(|t| t.len()).collect::<Vec<_>>(), [254, 1]);
    // A character of two units that would be the 255th and 256th begins the next token.
    let wide = format!("{}\u{10400}", "x".repeat(254));
    assert_eq!(list(&wide), ["x".repeat(254).as_str(), "\u{10400}"]);
}
