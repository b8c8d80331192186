//! `tokenizer.json` from a SentencePiece model: `spm.model` of DeBERTa-v2 and -v3, `sentencepiece.bpe.model` of
//! XLM-RoBERTa.
//!
//! **Source:** sentencepiece `sentencepiece_model.proto`; transformers `DebertaV2Converter`, `XLMRobertaConverter` and
//! `XLMRobertaTokenizer`.

use serde_json::{Value as Json, json};

/// The content of a file.
struct Model<'a> {
    pieces: Vec<Piece<'a>>,
    charsmap: &'a [u8],
}

impl<'a> Model<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut model = Self { pieces: Vec::new(), charsmap: &[] };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(piece)) => model.pieces.push(Piece::read(piece)?),
                (2, Field::Bytes(trainer)) => kind(trainer)?,
                (3, Field::Bytes(normalizer)) => {
                    for field in Fields(normalizer) {
                        if let (2, Field::Bytes(map)) = field? {
                            model.charsmap = map;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(model)
    }

    /// The normaliser that the model was trained with, if any.
    fn normalizer(&self) -> Option<Json> {
        let map = || json!({"type": "Precompiled", "precompiled_charsmap": base64(self.charsmap)});
        (!self.charsmap.is_empty()).then(map)
    }
}

/// `tokenizer.json` of DeBERTa's Unigram model; `lower` and `split` are the settings `do_lower_case` and
/// `split_by_punct`.
///
/// # Errors
/// When the file is malformed.
pub(super) fn deberta(model: &[u8], lower: bool, split: bool) -> Result<Json, String> {
    let model = Model::read(model)?;
    let unknown = model.pieces.iter().rposition(|p| p.kind == UNKNOWN);
    let vocabulary: Vec<(&str, f64)> = model.pieces.iter().map(|p| (p.text, f64::from(p.score))).collect();
    let id = |token: &str| {
        vocabulary.iter().position(|v| v.0 == token).ok_or_else(|| format!("no piece `{token}`"))
    };
    let mut added = Vec::new();
    for token in ["[PAD]", "[CLS]", "[SEP]", "[UNK]"] {
        added.push((id(token)?, token));
    }
    // Published models have no piece for the mask; it follows the last one.
    added.push((id("[MASK]").unwrap_or(vocabulary.len()), "[MASK]"));
    added.sort_unstable();
    let special = |(id, token): &(usize, &str)| special(*id, token, *token == "[UNK]", false);
    let mut normalizers = Vec::new();
    if lower {
        normalizers.push(json!({"type": "Lowercase"}));
    }
    normalizers.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
    normalizers.extend(model.normalizer());
    normalizers.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    let space = spaces();
    let mut cuts = vec![space.clone()];
    if split {
        cuts.insert(0, json!({"type": "Punctuation", "behavior": "Isolated"}));
    }
    let around = |token: &str| Ok::<_, String>(json!({"id": token, "ids": [id(token)?], "tokens": [token]}));
    let at = |token: &str, kind: u32| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let text = |which: &str, kind: u32| json!({"Sequence": {"id": which, "type_id": kind}});
    let single = [at("[CLS]", 0), text("A", 0), at("[SEP]", 0)];
    let pair = [at("[CLS]", 0), text("A", 0), at("[SEP]", 0), text("B", 1), at("[SEP]", 1)];
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added.iter().map(special).collect::<Vec<_>>(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": cuts},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": {"[CLS]": around("[CLS]")?, "[SEP]": around("[SEP]")?}},
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": false},
    }))
}

/// `tokenizer.json` of XLM-RoBERTa's model with fairseq's ids: four special tokens, the pieces after the first three, and
/// the mask.
///
/// # Errors
/// When the file is malformed.
pub(super) fn xlm_roberta(model: &[u8]) -> Result<Json, String> {
    let model = Model::read(model)?;
    let first: Vec<&str> = model.pieces.iter().take(3).map(|p| p.text).collect();
    if first != ["<unk>", "<s>", "</s>"] {
        return Err(format!("its first pieces are {first:?}; those of XLM-RoBERTa are <unk>, <s> and </s>"));
    }
    let mut vocabulary: Vec<(&str, f64)> = ["<s>", "<pad>", "</s>", "<unk>"].map(|t| (t, 0.0)).to_vec();
    vocabulary.extend(model.pieces[3..].iter().map(|p| (p.text, f64::from(p.score))));
    vocabulary.push(("<mask>", 0.0));
    let mask = vocabulary.len() - 1;
    let added = [(0, "<s>"), (1, "<pad>"), (2, "</s>"), (3, "<unk>"), (mask, "<mask>")];
    let at = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |which: &str| json!({"Sequence": {"id": which, "type_id": 0}});
    let around = |token: &str, id: usize| json!({"id": token, "ids": [id], "tokens": [token]});
    let space = spaces();
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added.map(|(id, token)| special(id, token, false, token == "<mask>")),
        "normalizer": model.normalizer(),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [at("<s>"), text("A"), at("</s>")],
            "pair": [at("<s>"), text("A"), at("</s>"), at("</s>"), text("B"), at("</s>")],
            "special_tokens": {"<s>": around("<s>", 0), "</s>": around("</s>", 2)}},
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": false},
    }))
}

fn special(id: usize, token: &str, normalized: bool, lstrip: bool) -> Json {
    json!({"id": id, "content": token, "single_word": false, "lstrip": lstrip, "rstrip": false,
        "normalized": normalized, "special": true})
}

/// SentencePiece's character for a space.
fn spaces() -> Json {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})
}

/// The type of an unknown piece.
const UNKNOWN: u64 = 2;

/// Refuses models other than Unigram.
fn kind(trainer: &[u8]) -> Result<(), String> {
    for field in Fields(trainer) {
        match field? {
            (3, Field::Number(1)) | (..=2 | 4.., _) => {}
            _ => return Err("it is not a Unigram model".into()),
        }
    }
    Ok(())
}

/// One entry of the vocabulary.
struct Piece<'a> {
    text: &'a str,
    score: f32,
    kind: u64,
}

impl<'a> Piece<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut piece = Self { text: "", score: 0.0, kind: 1 };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(text)) => {
                    piece.text = std::str::from_utf8(text).map_err(|_| "a piece that is not UTF-8")?;
                }
                (2, Field::Float(score)) => piece.score = score,
                (3, Field::Number(kind)) => piece.kind = kind,
                _ => {}
            }
        }
        Ok(piece)
    }
}

/// A field of a protocol buffer.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
    Double,
}

/// The fields of a message, with their numbers.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (own, rest) = self.0.split_at_checked(n).ok_or("the file ends too early")?;
        self.0 = rest;
        Ok(own)
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for i in 0..10 {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 127) << (7 * i);
            if byte < 128 {
                return Ok(value);
            }
        }
        Err("a number without end".into())
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), String> {
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => self.take(8).map(|_| Field::Double)?,
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| "a field of impossible length")?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let b = self.take(4)?;
                Field::Float(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            }
            _ => return Err("a field of a kind that SentencePiece does not have".into()),
        };
        Ok((tag >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Standard base 64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_published_one() {
        for (text, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }

    #[test]
    fn a_small_model_becomes_a_tokenizer() {
        let piece = |text: &str, score: f32, kind: u8| {
            let mut inner = vec![0x0a, text.len() as u8];
            inner.extend(text.as_bytes());
            inner.push(0x15);
            inner.extend(score.to_le_bytes());
            inner.extend([0x18, kind]);
            [vec![0x0a, inner.len() as u8], inner].concat()
        };
        let mut model: Vec<u8> = [("[PAD]", 3), ("[CLS]", 3), ("[SEP]", 3), ("[UNK]", 2)]
            .iter()
            .flat_map(|p| piece(p.0, 0.0, p.1))
            .collect();
        model.extend(piece("▁a", -1.5, 1));
        model.extend([0x12, 2, 0x18, 1]);
        let json = deberta(&model, false, false).unwrap();
        let tokenizer = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
        let pair = tokenizer.encode(("a b", "a"), true).unwrap();
        assert_eq!(pair.get_ids(), [1, 4, 3, 2, 4, 2]);
        assert_eq!(pair.get_type_ids(), [0, 0, 0, 0, 1, 1]);
        assert_eq!(tokenizer.token_to_id("[MASK]"), Some(5));
        for cut in 1..model.len() {
            if let Ok(json) = deberta(&model[..cut], false, false) {
                // Cut between two pieces after the special ones.
                assert!(json["model"]["vocab"].as_array().unwrap().len() >= 4, "{cut}");
            }
        }
        assert!(deberta(&model[..model.len() - 1], false, false).is_err());
        let bpe = [&model[..], &[0x12, 2, 0x18, 2]].concat();
        assert!(deberta(&bpe, false, false).unwrap_err().contains("Unigram"));
    }
}
