//! Safe parsing of any `tokenizer.json`: a panic of the library becomes an error, and normalisers that would blow up a
//! text are refused.

use serde_json::Value as Json;

use xpipe_base::task::caught;

/// Maximum characters that a normaliser may make of one. Published ones make up to 18 (a ligature of NFKC).
const EXPANSION: f64 = 256.0;
/// Maximum bytes that a component may put before or into a text.
const INSERTED: usize = 4096;

/// Parses a tokenizer.
///
/// # Errors
/// When the file is malformed.
pub(super) fn tokenizer(json: &Json) -> Result<tokenizers::Tokenizer, String> {
    let growth = expansion(&json["normalizer"])? * expansion(&json["pre_tokenizer"])?;
    if growth > EXPANSION {
        return Err(format!(
            "its normaliser makes {growth} characters of one, and more than {EXPANSION} are not read"
        ));
    }
    let text = serde_json::to_vec(json).map_err(|e| e.to_string())?;
    quiet(|| tokenizers::Tokenizer::from_bytes(text).map_err(|e| e.to_string()))
}

/// Calls the library and turns its panics into errors.
pub(super) fn quiet<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    caught(f).unwrap_or_else(|panic| {
        Err(panic.message.lines().next().unwrap_or_default().chars().take(300).collect())
    })
}

/// Maximum characters that a component of tokenizer.json makes of one.
fn expansion(part: &Json) -> Result<f64, String> {
    let inside: f64 = ["normalizers", "pretokenizers"]
        .into_iter()
        .filter_map(|name| part[name].as_array())
        .flatten()
        .map(expansion)
        .product::<Result<f64, String>>()?;
    let bytes = |name: &str| part[name].as_str().map_or(0, str::len);
    let own = match part["type"].as_str() {
        Some("Replace") => {
            let found = part["pattern"]["String"].as_str().map_or(1, str::len).max(1);
            // An expression may also match the empty text between two characters.
            let between = usize::from(part["pattern"]["Regex"].is_string());
            (bytes("content") as f64 / found as f64).max(1.0) + (between * bytes("content")) as f64
        }
        Some("Prepend") if bytes("prepend") > INSERTED => {
            return Err(format!("its normaliser puts {} bytes before each text", bytes("prepend")));
        }
        Some("ByteLevel") => 2.0,
        _ => 1.0,
    };
    Ok(inside * own)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(normalizer: &Json) -> Result<tokenizers::Tokenizer, String> {
        tokenizer(
            &json!({"version": "1.0", "added_tokens": [], "normalizer": normalizer, "pre_tokenizer": null,
            "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}}),
        )
    }

    #[test]
    fn a_normaliser_that_expands_is_refused_before_it_does() {
        let replace = |pattern: Json, content: String| json!({"type": "Replace", "pattern": pattern, "content": content});
        let long = || replace(json!({"String": "a"}), "a".repeat(1000));
        let all = |list: Vec<Json>| json!({"type": "Sequence", "normalizers": list});
        for bad in [
            long(),
            all(vec![long(), long(), long(), long()]),
            all(vec![all(vec![replace(json!({"Regex": "x*"}), "b".repeat(20)); 2]); 3]),
            json!({"type": "Prepend", "prepend": "a".repeat(1 << 20)}),
        ] {
            let told = with(&bad.clone()).unwrap_err();
            assert!(told.contains("normaliser"), "{told}");
        }
        for good in [
            Json::Null,
            json!({"type": "Prepend", "prepend": "▁"}),
            all(vec![
                json!({"type": "NFKC"}),
                replace(json!({"String": " "}), "▁".into()),
                replace(json!({"Regex": " {2,}"}), " ".into()),
            ]),
            replace(json!({"String": "''"}), "\"".into()),
        ] {
            with(&good).unwrap();
        }
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        let told =
            quiet(|| -> Result<(), String> { panic!("called `Result::unwrap()` on an `Err` value\nmore") });
        assert_eq!(told.unwrap_err(), "called `Result::unwrap()` on an `Err` value");
    }
}
